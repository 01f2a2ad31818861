#!/usr/bin/env bash
# The same bits for any number of threads: scripts/determinism.sh [SEEDS [THREADS...]], 20 seeds on 1, 2, 4 and 8 threads
# unless told otherwise, for each instruction set that the kernels are built for and the processor has. Every search is
# held against one of the same seed on 3 threads: alphas of each epoch, weights and statistics at the end, to the bit.
# OCHE=FILE names the binary; build/release is built and taken where it is not given.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

seeds=${1:-20}
shift $(($# > 0))
threads=("$@")
if [[ $# -eq 0 ]]; then threads=(1 2 4 8); fi
[[ "$seeds ${threads[*]}" =~ ^[0-9\ ]+$ ]] || die "expected numbers, found '$seeds ${threads[*]}'"
if [[ -z ${OCHE:-} ]]; then build release >&2; fi
oche=${OCHE:-build/release/oche}
for variable in $(compgen -e OCHE_); do unset "$variable"; done

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# digest_of SEED THREADS: of what a search of two epochs leaves.
digest_of() {
  "$oche" search --dataset patterns --train-size 128 --layers 3 --channels 4 --steps 2 --batch 16 --epochs 2 \
    --seed "$1" --threads "$2" --out "$work/run" --force --quiet >/dev/null
  (cd "$work/run" && sha256sum genotypes.jsonl weights.safetensors) | sha256sum
}

# compare INSTRUCTION-SET
compare() {
  local seed count same=0 runs=0 reference references=()
  for ((seed = 0; seed < seeds; ++seed)); do
    reference=$(digest_of "$seed" 3)
    references+=("$reference")
    for count in "${threads[@]}"; do
      runs=$((runs + 1))
      if [[ $(digest_of "$seed" "$count") == "$reference" ]]; then
        same=$((same + 1))
      else
        printf '%s: seed %d differs on %d threads\n' "$1" "$seed" "$count" >&2
      fi
    done
  done
  printf '%-10s identical %d of %d\n' "$1" "$same" "$runs"
  [[ $same -eq $runs ]] || return 1
  [[ $(printf '%s\n' "${references[@]}" | sort -u | wc -l) -eq $seeds ]] || die "different seeds gave the same bits"
}

printf '%s seeds, threads %s\n' "$seeds" "${threads[*]}"
status=0
compared=0
# The copies of the kernels, each with what keeps the dynamic linker from a better one (docs/design.md).
for entry in x86-64:-AVX2 x86-64-v3:-AVX512F x86-64-v4:-none; do
  export GLIBC_TUNABLES=glibc.cpu.hwcaps=${entry#*:}
  if [[ "$("$oche" --version) " == *"architectures ${entry%:*} "* ]]; then
    compare "${entry%:*}" || status=1
    compared=$((compared + 1))
  else
    printf '%-10s skipped: not on this processor, or not built\n' "${entry%:*}"
  fi
done
[[ $compared -gt 0 ]] || die "no instruction set was compared"
exit "$status"
