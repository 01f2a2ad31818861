#!/usr/bin/env bash
# Kills a small search with SIGKILL at random moments and goes on with it: scripts/crash_test.sh [POINTS [SEED]]
# At each of the points (200) a new search is killed, what goes on with it is killed as well, and a second one goes on
# to the end, each with another number of threads. What is then left must be that of a search that was let alone, byte
# for byte but for times and memory. OCHE names the program; without it build/release/oche is built.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

points=${1:-200}
RANDOM=${2:-$$}
if [[ -z ${OCHE:-} ]]; then
  build release >&2
  OCHE=build/release/oche
fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Two epochs of two steps, a checkpoint after each step.
options=(--quiet --checkpoint-minutes 1e-9)
new=("$OCHE" search "${options[@]}" --method darts-1st --train-size 16 --layers 3 --channels 2 --steps 1 --batch 4
  --epochs 2 --out)
go_on=("$OCHE" search "${options[@]}" --resume)

other_threads() { export OCHE_THREADS=$((1 + RANDOM % 3)); }
now_ms() { printf '%d' $((${EPOCHREALTIME//[!0-9]/} / 1000)); }
has_checkpoint() { compgen -G "$1/ckpt/*.safetensors" >/dev/null; }

# Waits until the run in $1, of process $2, has a checkpoint.
await_checkpoint() {
  until has_checkpoint "$1" || ! kill -0 "$2" 2>/dev/null; do sleep 0.002; done
}

# kill_after MILLISECONDS PID
kill_after() {
  sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
  kill -KILL "$2" 2>/dev/null || true
  wait "$2" 2>/dev/null || true
}

# What a run leaves, without times and the peak of memory, which grows with the threads: the last columns.
fingerprint() {
  (cd "$1" && sha256sum ckpt/epoch-0002.safetensors weights.safetensors genotype.json genotypes.jsonl &&
    cut -d, -f1-13 metrics.csv && grep -c '"type":"epoch"' events.jsonl)
}

other_threads
"${new[@]}" "$work/whole" >/dev/null &
await_checkpoint "$work/whole" $!
began=$(now_ms)
wait $!
span=$(($(now_ms) - began + 10))
expected=$(fingerprint "$work/whole")

same=0 before=0 within=0 after=0
for ((point = 1; point <= points; ++point)); do
  run=$work/$point
  other_threads
  "${new[@]}" "$run" >/dev/null &
  if ((point % 10)); then await_checkpoint "$run" $!; fi # one in ten may be killed while it starts
  kill_after $((RANDOM % span)) $!
  other_threads
  if ! has_checkpoint "$run"; then
    before=$((before + 1))
    code=0
    "${go_on[@]}" "$run" >/dev/null 2>&1 || code=$?
    if [[ $code -ne 2 ]]; then printf 'point %d: --resume without a checkpoint: exit %d\n' "$point" "$code" >&2; fi
    "${new[@]}" "$run" --force >/dev/null
  else
    if [[ -f $run/genotype.json ]]; then after=$((after + 1)); else within=$((within + 1)); fi
    "${go_on[@]}" "$run" >/dev/null &
    kill_after $((RANDOM % span)) $!
    other_threads
    "${go_on[@]}" "$run" >/dev/null
  fi
  if [[ $(fingerprint "$run") == "$expected" ]]; then
    same=$((same + 1))
  else
    printf 'point %d: another result\n' "$point" >&2
  fi
  rm -rf -- "$run"
done
printf '%d of %d bit-identical (killed before the first checkpoint %d, before the end %d, once it wrote its result or had ended %d)\n' \
  "$same" "$points" "$before" "$within" "$after"
[[ $same -eq $points ]]
