#!/usr/bin/env bash
# Kills a small search with SIGKILL at random moments and goes on with it: scripts/crash_test.sh [POINTS [SEED]]
# At each of the points (200) a new search is killed, what goes on with it is killed as well, and a second one goes on
# to the end. What is then left must be that of a search that was let alone, byte for byte but for times.
# OCHE names the program; without it build/release/oche is built.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

points=${1:-200}
RANDOM=${2:-$$}
if [[ -z ${OCHE:-} ]]; then
  build release >&2
  OCHE=build/release/oche
fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Two epochs of two steps, a checkpoint after each.
options=(--quiet --checkpoint-minutes 1e-9)
new=("$OCHE" search "${options[@]}" --method darts-1st --train-size 16 --layers 3 --channels 2 --steps 1 --batch 4
  --epochs 2 --out)
on=("$OCHE" search "${options[@]}" --resume)

# What a run leaves, without times: the last of its columns but peak_bytes.
fingerprint() {
  (cd "$1" && sha256sum ckpt/epoch-0002.safetensors weights.safetensors genotype.json genotypes.jsonl &&
    cut -d, -f1-10,13 metrics.csv && grep -c '"type":"epoch"' events.jsonl)
}

now_ms() { printf '%d' $((${EPOCHREALTIME//[!0-9]/} / 1000)); }

# killed MILLISECONDS COMMAND...: runs it for at most so long.
killed() {
  local seconds pid
  seconds=$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))
  "${@:2}" >/dev/null &
  pid=$!
  sleep "$seconds"
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

has_checkpoint() { compgen -G "$1/ckpt/*.safetensors" >/dev/null; }

began=$(now_ms)
"${new[@]}" "$work/whole" >/dev/null
span=$(($(now_ms) - began + 20))
expected=$(fingerprint "$work/whole")

same=0 before=0 within=0 after=0
for ((point = 1; point <= points; ++point)); do
  run=$work/$point
  killed $((RANDOM % span)) "${new[@]}" "$run"
  if ! has_checkpoint "$run"; then
    before=$((before + 1))
    code=0
    "${on[@]}" "$run" >/dev/null 2>&1 || code=$?
    if [[ $code -ne 2 ]]; then printf 'point %d: --resume without a checkpoint: exit %d\n' "$point" "$code" >&2; fi
    "${new[@]}" "$run" --force >/dev/null
  else
    if [[ -f $run/genotype.json ]]; then after=$((after + 1)); else within=$((within + 1)); fi
    killed $((RANDOM % span)) "${on[@]}" "$run"
    "${on[@]}" "$run" >/dev/null
  fi
  if [[ $(fingerprint "$run") == "$expected" ]]; then
    same=$((same + 1))
  else
    printf 'point %d: another result\n' "$point" >&2
  fi
  rm -rf -- "$run"
done
printf '%d of %d bit-identical (killed before the first checkpoint %d, after it %d, at the end %d)\n' \
  "$same" "$points" "$before" "$within" "$after"
[[ $same -eq $points ]]
