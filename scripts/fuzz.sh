#!/usr/bin/env bash
# Fuzzes the parsers under both sanitizers: scripts/fuzz.sh [RUNS [TARGET...]], 1,000,000 inputs for each of all targets
# unless told otherwise, JOBS targets at a time. SEED=N (1) draws other inputs. An input that ends a target is kept in
# build/fuzz/found and is an error. scripts/fuzz.sh --seeds writes the seeds that a search makes anew.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=build/fuzz/tests/fuzz

# After a change of the formats, with build/test/oche.
write_seeds() {
  local run=build/fuzz-seeds corpus=tests/fuzz/corpus/checkpoint
  build/test/oche search --train-size 16 --layers 1 --channels 1 --steps 1 --stem-multiplier 1 --batch 8 --epochs 1 \
    --alpha-init 0 --out "$run" --force --quiet >/dev/null
  cp "$run/ckpt/epoch-0001.safetensors" "$corpus/valid-checkpoint.safetensors"
  cp "$run/weights.safetensors" "$corpus/valid-weights.safetensors"
}

# fuzz TARGET RUNS
fuzz() {
  local target=$1 runs=$2 dictionary=tests/fuzz/$1.dict log=build/fuzz/$1.log
  local options=(-runs="$runs" -seed="${SEED:-1}" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1)
  if [[ -f $dictionary ]]; then options+=(-dict="$dictionary"); fi
  mkdir -p "build/fuzz/corpus/$target" build/fuzz/found
  if ! "$folder/fuzz_$target" "${options[@]}" -artifact_prefix="build/fuzz/found/$target-" \
    "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    printf '%-14s FAILED, see %s\n' "$target" "$log"
    tail -n 40 "$log" >&2
    return 1
  fi
  awk -v target="$target" '
    / cov: / { for (i = 1; i < NF; ++i) if ($i == "cov:") edges = $(i + 1) }
    /^Done/ { runs = $2; seconds = $5 }
    END { printf "%-14s %8d inputs, 0 crashes, %5d edges covered, %4d s\n", target, runs, edges, seconds }' "$log"
}

case "${1:-}" in
  --seeds) write_seeds; exit ;;
  --target) fuzz "$2" "$3"; exit ;;  # what xargs starts
esac
runs=${1:-1000000}
shift $(($# > 0))
[[ $runs =~ ^[0-9]+$ ]] || die "'$runs' is not a number of inputs; expected scripts/fuzz.sh [RUNS [TARGET...]]"
command -v clang++ >/dev/null || die "no clang++ (Debian: clang, libclang-rt-dev)"
targets=("$@")
if [[ $# -eq 0 ]]; then mapfile -t targets < <(cd tests/fuzz/corpus && printf '%s\n' *); fi

build fuzz >&2
printf '%s\n' "${targets[@]}" | xargs -I{} -P "$jobs" scripts/fuzz.sh --target {} "$runs"
