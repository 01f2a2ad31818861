#!/usr/bin/env bash
# What only a GPU can tell, in stages that go on where the time ended them: --help.
caller=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'END'
usage: scripts/gpu-check.sh STAGE [OPTION...] [-- FURTHER...]

Stages on a GPU, at most nine minutes a call. Each consists of parts; a part that has ended, well or not, is not run again, so
that a second call goes on where the first one ran out of time.
  tests      all that ctest labels cuda-device
  sanitize   compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the tests of the kernels
  bench      oche bench on the device; FURTHER: its options, such as --repetitions 3
  search     a search on CIFAR-10, with the time of each epoch; FURTHER: its options, such as --epochs 2
  peers      search steps and candidate operations beside PyTorch in its modes; FURTHER: options of compare_pytorch.py
Without one:
  pack       what the stages need, in OUT/pack: programs of the build, shared libraries (but those of C and C++), scripts. On a
             machine without our libraries pack/scripts/gpu-check.sh runs them. Also as OUT/pack.tar.xz
  table      the tables of all results in OUT

Options:
  --build DIR    a built folder [build/release, for tests and sanitize build/test, built when need be]; none: PyTorch alone
  --out DIR      for results: DIR/DATE-GPU-COMMIT-STAGE.json, to be kept in benchmarks/results, and each part's output in
                 DIR/STAGE [build/gpu-check]
  --seconds N    for this call, 10 to 540 [540]
  --data DIR     with CIFAR-10, see scripts/get_data.sh [data]
  --python FILE  an interpreter with torch, for peers; its packages of cuBLAS and cuDNN serve ours, too [python3]
  --rows REGEX   the rows of bench [all]
  --again        discards what there is of this stage

Exit codes: 0 all parts passed, 2 usage or results of another commit, 3 no data, 4 no GPU, 7 a part failed, 75 the time is up
(call again), 77 something is missing.
END
}

fail() {  # CODE MESSAGE
  printf 'gpu-check: %s\n' "$2" >&2
  exit "$1"
}

inner=false
if [[ ${1:-} == --inner ]]; then  # what this script starts under `timeout`
  inner=true caller=$2
  shift 2
fi
arguments=("$@")
stage='' built='' out=$PWD/build/gpu-check seconds=540 data=$PWD/data python=python3 rows='' again=false further=()
absolute() { if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '%s' "$caller/$1"; fi; }
while [[ $# -gt 0 ]]; do
  case "$1" in
    -h | --help) usage; exit ;;
    --again) again=true ;;
    --) shift; further=("$@"); break ;;
    --build | --out | --seconds | --data | --python | --rows)
      [[ $# -ge 2 && -n $2 ]] || fail 2 "$1 needs a value; see --help"
      case "$1" in
        --build) if [[ $2 == none ]]; then built=none; else built=$(absolute "$2"); fi ;;
        --out) out=$(absolute "$2") ;;
        --seconds) seconds=$2 ;;
        --data) data=$(absolute "$2") ;;
        --python) if [[ $2 == */* ]]; then python=$(absolute "$2"); else python=$2; fi ;;
        --rows) rows=$2 ;;
      esac
      shift
      ;;
    -*) fail 2 "unknown option '$1'; see --help" ;;
    *)
      [[ -z $stage ]] || fail 2 "one stage a call, found '$stage' and '$1'"
      stage=$1
      ;;
  esac
  shift
done
case "$stage" in
  tests | sanitize | bench | search | peers | pack | table) ;;
  '') usage >&2; exit 2 ;;
  *) fail 2 "unknown stage '$stage'; expected tests, sanitize, bench, search, peers, pack or table" ;;
esac
[[ $seconds =~ ^[1-9][0-9]{1,2}$ && $seconds -le 540 ]] || fail 2 "--seconds: '$seconds' is not allowed; expected 10 to 540"
[[ -z $built || -d $built || ($built == none && $stage == peers) ]] || fail 2 "--build: no folder '$built'"
[[ ${#further[@]} -eq 0 || $stage =~ ^(bench|search|peers)$ ]] || fail 2 "$stage takes no options after --"
command -v python3 >/dev/null || fail 77 "$stage: no python3"
results() { python3 -B benchmarks/gpu_results.py "$@"; }

# The GPU: a line of name, driver, MiB and compute capability; or why there is none.
find_gpu() {
  local listed
  if ! command -v nvidia-smi >/dev/null; then
    why="nvidia-smi is not there"
  elif ! listed=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader,nounits 2>&1) ||
    [[ $listed != *,*,*,* ]]; then
    why="nvidia-smi: ${listed%%$'\n'*}"
  else
    gpu=${listed%%$'\n'*}
    return
  fi
  return 1
}

# awaited CHILD: its exit code. `timeout` is a process group of its own, which what ends this script does not reach.
awaited() {
  # shellcheck disable=SC2064  # this child
  trap "kill $1 2>/dev/null || true; wait $1 || true; exit 75" INT TERM
  wait "$1"
}

on_gpu=true
if [[ $stage == pack || $stage == table ]]; then on_gpu=false; fi
if $on_gpu; then
  gpu='' why=''
  find_gpu || fail 4 "$stage: no GPU here ($why), nothing was run"
  if ! $inner; then
    code=0
    timeout --kill-after=5s "${seconds}s" "$PWD/scripts/gpu-check.sh" --inner "$caller" "${arguments[@]}" &
    awaited $! || code=$?
    case "$code" in
      124 | 137) fail 75 "$stage: the time was up; call again to go on" ;;
      *) exit "$code" ;;
    esac
  fi
fi

work=$out/$stage
spare=$((3 + seconds / 27))  # for the results of what was cut short
budget=$((seconds - spare))
deadline=$budget  # in SECONDS

# use_build PRESET: sets `built`, and `launch`, what runs its programs.
use_build() {
  local paths=()
  if [[ -z $built && -f build/test/gpu-check.tests ]]; then
    built=$PWD/build/test  # this is a pack
  elif [[ -z $built ]]; then
    build "$1" >&2
    built=$PWD/build/$1
  fi
  if [[ -d $built/shared ]]; then paths+=("$built/shared"); fi
  paths+=("$("$python" -c '
import glob, importlib.util, os
found = importlib.util.find_spec("nvidia")
files = [f for p in (found.submodule_search_locations if found else []) for f in glob.glob(p + "/*/lib/libcu[bd]*.so*")]
print(":".join(sorted({os.path.dirname(f) for f in files})))' 2>/dev/null || true)" "${LD_LIBRARY_PATH:-}")
  library_path=$(printf '%s\n' "${paths[@]}" | sed '/^$/d' | paste -sd :)
  launch=(env)
  if [[ -n $library_path ]]; then launch=(env "LD_LIBRARY_PATH=$library_path"); fi
}
needs() {  # PROGRAM of the build
  [[ -x $built/$1 ]] || fail 77 "$stage: no $1 in the build; build it, or leave --build out"
}

# list_tests: a line for each test of the device: name, environment or -, command; separated by tabs.
list_tests() {
  if [[ -f $built/gpu-check.tests ]]; then
    cat "$built/gpu-check.tests"
  else
    ctest --test-dir "$built" --show-only=json-v1 -L '^cuda-device$' | results tests "$built"
  fi
}

begin_stage() {
  local revision settings
  if [[ $built == none ]]; then
    revision=$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || printf unknown)
  else
    needs oche
    revision=$("${launch[@]}" "$built/oche" --version | sed -n '1s/.*(\(.*\))$/\1/p')
  fi
  if $again; then rm -rf -- "$work"; fi
  settings="$(env | grep -E '^OCHE_[A-Z_]+=' | LC_ALL=C sort | tr '\n' ' ' || true)${rows:+--rows $rows }${further[*]}"
  results begin "$work" "$stage" "$revision" "$gpu" "--settings=$settings" || exit $?
  scratch=$(mktemp -d)
  trap 'rm -rf -- "$scratch"' EXIT
}

finish_stage() {  # [--unfinished]
  local code=0
  results finish "$work" "$out" "$@" || code=$?
  if [[ $code -eq 75 ]]; then printf 'gpu-check: %s: the time is up; call again to go on\n' "$stage" >&2; fi
  exit "$code"
}

ended() { [[ -f $work/$1.json ]] && ! grep -q '^ "status": "unfinished"' "$work/$1.json"; }
milliseconds() { printf '%d' $((${EPOCHREALTIME//[!0-9]/} / 1000)); }
keep_part() {  # NAME CODE MILLISECONDS [--timeout | --unfinished]
  local name=$1 verdict
  verdict=$(results part "$work" "$name" "$2" "$(($3 / 1000)).$(printf '%03d' $(($3 % 1000)))" "${@:4}")
  printf 'gpu-check: %s %s: %s (%d s)\n' "$stage" "$name" "$verdict" $(($3 / 1000)) >&2
  if [[ $verdict != passed && -s $work/$name.log ]]; then tail -n 15 "$work/$name.log" >&2; fi
}

# limited SECONDS GRACE COMMAND...: stops it by SIGTERM after SECONDS and by SIGKILL when it goes on for GRACE more.
limited() {
  (cd "$scratch" && exec timeout --kill-after="${2}s" "${1}s" "${@:3}") &
  awaited $!
}

# part NAME LIMIT COMMAND...: runs it, in a folder of its own, for at most LIMIT seconds, unless it has ended before. One that
# is cut short by the end of the stage's time is run again by the next call, which may start with it and give it its due.
part() {
  local name=$1 limit=$2 code=0 left=$((deadline - SECONDS)) most=$((budget * 8 / 10)) allowed begin took stopped=()
  shift 2
  if ended "$name"; then return; fi
  if ((left < 1)); then finish_stage --unfinished; fi
  if ((limit > most)); then limit=$most; fi
  allowed=$((left < limit ? left : limit))
  begin=$(milliseconds)
  limited "$allowed" 5 "$@" >"$work/$name.log" 2>&1 || code=$?
  took=$(($(milliseconds) - begin))
  if [[ $code -eq 124 || $code -eq 137 ]] && ((took >= 1000 * allowed)); then
    if ((left < limit)); then finish_stage --unfinished; fi
    stopped=(--timeout)
  fi
  keep_part "$name" "$code" "$took" "${stopped[@]}"
}

stage_tests() {
  local name environment command listed variables
  use_build test
  begin_stage
  listed=$(list_tests) || fail 77 "tests: the build's tests of a device cannot be listed"
  [[ -n $listed ]] || fail 77 "tests: none of the build's tests is for a device; it was configured without nvcc"
  while IFS=$'\t' read -r name environment command <&3; do
    read -ra command <<<"$command"
    if [[ $environment == - ]]; then environment=''; fi
    read -ra variables <<<"$environment"
    needs "${command[0]}"
    part "$name" 300 "${launch[@]}" "${variables[@]}" OCHE_TEST_DEVICE=cuda OCHE_SOURCE_DIR="$PWD" \
      "$built/${command[0]}" "${command[@]:1}"
  done 3<<<"$listed"
}

stage_sanitize() {
  local sanitizer='' candidate program group groups tool options
  use_build test
  for candidate in compute-sanitizer "${CUDA_HOME:-/usr/local/cuda}"/{bin,compute-sanitizer}/compute-sanitizer; do
    if [[ -z $sanitizer ]]; then sanitizer=$(command -v "$candidate" || true); fi
  done
  [[ -n $sanitizer ]] || fail 77 "sanitize: no compute-sanitizer, neither in PATH nor in the CUDA toolkit"
  begin_stage
  program=$(list_tests | sed -n 's/^cuda_device\t[^\t]*\t\([^ ]*\).*/\1/p')
  [[ -n $program ]] || fail 77 "sanitize: no test cuda_device in the build; it was configured without nvcc"
  needs "$program"
  # Catch2 tags each case with its file: [#test_conv2d].
  groups=$("${launch[@]}" "$built/$program" -# --list-tags | grep -o '\[#[^]]*\]') || fail 77 "sanitize: $program lists no tags"
  for tool in memcheck racecheck initcheck synccheck; do
    options=(--tool "$tool" --error-exitcode 86 --print-limit 20)
    # Tests that memory runs out, or that there is no such device, provoke errors of the runtime.
    if [[ $tool == memcheck ]]; then options+=(--report-api-errors no); fi
    for group in $groups; do
      part "$tool-$(tr -d '[]#' <<<"$group")" 300 "${launch[@]}" "$sanitizer" "${options[@]}" "$built/$program" -# "$group"
    done
  done
}

stage_bench() {
  local listed families family of_family
  use_build release
  needs oche-bench
  begin_stage
  listed=$("${launch[@]}" "$built/oche-bench" --list --quiet --device cuda --filter "$rows" 2>"$work/list.log") ||
    fail 77 "bench: $(tail -n 1 "$work/list.log")"
  listed=$(grep -vE '^(onednn|openblas)/' <<<"$listed")  # baselines of the CPU
  mapfile -t families < <(cut -d/ -f1 <<<"$listed" | awk '!seen[$0]++')
  for family in "${families[@]}"; do
    mapfile -t of_family < <(grep "^$family\(/\|\$\)" <<<"$listed")
    part "$family" 300 "${launch[@]}" "$built/oche-bench" "${of_family[@]}" --device cuda --out "$work/$family.bench" "${further[@]}"
  done
}

stage_search() {
  local run=$work/run code=0 begin left=0 command settings
  settings=(--dataset cifar10 --data "$data" --device cuda --method darts-1st --epochs 5 --seed 0 --quiet "${further[@]}")
  use_build release
  begin_stage
  if ! ended search; then
    "${launch[@]}" "$built/oche" search "${settings[@]}" --dry-run >"$work/search.log" 2>&1 || code=$?
    case "$code" in
      0) ;;
      4) fail 77 "search: $(tail -n 1 "$work/search.log")" ;;
      *) fail "$code" "search: $(tail -n 1 "$work/search.log")" ;;
    esac
    command=(search "${settings[@]}" --json --out "$run" --force)
    if compgen -G "$run/ckpt/*.safetensors" >/dev/null; then
      command=(search --resume "$run" --device cuda --quiet --json)
    fi
    left=$((deadline - SECONDS))
    if ((left < 1)); then finish_stage --unfinished; fi
    begin=$(milliseconds)
    # When stopped it finishes its step and writes a checkpoint.
    limited "$left" $((spare / 2)) "${launch[@]}" "$built/oche" "${command[@]}" \
      >"$work/search.out" 2>"$work/search.log" || code=$?
    begin=$(($(milliseconds) - begin))
    case "$code" in
      3) fail 3 "search: $(tail -n 1 "$work/search.log")" ;;
      124 | 137 | 143)
        keep_part search "$code" "$begin" --unfinished
        finish_stage --unfinished
        ;;
      *) keep_part search "$code" "$begin" ;;
    esac
  fi
}

stage_peers() {
  local entry what name compare
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
    fail 77 "peers: $python has no torch that finds the GPU; --python names another"
  compare=(python3 -B "$PWD/benchmarks/compare_pytorch.py")
  what=(--device cuda --python "$python" --threads "$jobs" --rounds 3 --repetitions 5 --warm-up 3)
  if [[ $built != none ]]; then use_build release; fi
  begin_stage
  if [[ $built == none ]]; then
    what+=(--peers-only)
  elif ! "${launch[@]}" "$built/oche-bench" --list --quiet --device cuda --filter ^search_step >/dev/null 2>"$work/list.log"; then
    printf 'gpu-check: peers: without ours: %s\n' "$(tail -n 1 "$work/list.log")" >&2
    what+=(--peers-only)
  else
    what+=(--binary "$built/oche-bench" --library-path "$library_path")
  fi
  # Compilation takes minutes: last, and as long as there is time.
  for entry in 1:{channels_last,tf32,graph,graph+tf32,eager} 2:{channels_last,graph,graph+tf32} \
    parts:{channels_last,graph} 1:compile 1:compile+tf32 1:compile+graph+tf32 parts:compile; do
    name=step-order-${entry/:/-}
    compare=("${compare[@]:0:3}" step --order "${entry%:*}")
    if [[ $entry == parts:* ]]; then
      name=${entry/:/-}
      compare=("${compare[@]:0:3}" parts)
    fi
    if [[ $entry == *compile* ]]; then limit=540; else limit=240; fi
    part "$name" "$limit" "${compare[@]}" --modes "${entry#*:}" "${what[@]}" "${further[@]}" --json "$work/$name.comparison"
  done
}

stage_pack() {
  local root=$out/pack into listed file programs name path
  use_build test
  into=$root/build/test
  listed=$(list_tests) || fail 77 "pack: the build's tests of a device cannot be listed"
  mapfile -t programs < <(printf 'oche\noche-bench\n'; cut -f 3 <<<"$listed" | sed 's/ .*//' | sort -u)
  mapfile -t -O ${#programs[@]} programs < <(cd "$built" && printf '%s\n' lib/liboche_kernels*.so lib/glibc-hwcaps/*/*.so)
  rm -rf -- "$root"
  for file in "${programs[@]}"; do
    [[ -f $built/$file ]] || fail 77 "pack: no $file in the build"
    install -D "$built/$file" "$into/$file"
    while IFS=$'\t' read -r name path; do
      [[ $path != not ]] || fail 77 "pack: $file needs $name, which is not there"
      case "$path/$name" in
        "$built"/* | */libc.so.* | */libm.so.* | */libdl.so.* | */librt.so.* | */libpthread.so.* | */libstdc++.so.* | */libgcc_s.so.*) ;;
        *) install -D --mode=644 "$path" "$into/shared/$name" ;;
      esac
    done < <(ldd "$built/$file" | awk -v OFS='\t' '$2 == "=>" { print $1, $3 }')
  done
  printf '%s\n' "$listed" >"$into/gpu-check.tests"
  for file in scripts/{lib,gpu-check}.sh benchmarks/{gpu_results,results_table,compare_pytorch}.py benchmarks/peers/*.py \
    tests/data/darts_state.safetensors; do
    install -D "$file" "$root/$file"
  done
  XZ_OPT=-T0 tar -C "$out" -cJf "$out/pack.tar.xz" pack
  printf '%s: %s MB, pack.tar.xz %s MB\n' "$root" "$(du -s --block-size=1M --apparent-size "$root" | cut -f 1)" \
    "$(du --block-size=1M --apparent-size "$out/pack.tar.xz" | cut -f 1)"
}

stage_table() {
  local files=("$out"/*.json)
  [[ -f ${files[0]} ]] || fail 3 "table: no results in $out"
  python3 -B benchmarks/results_table.py "${files[@]}"
}

"stage_$stage"
if $on_gpu; then finish_stage; fi
