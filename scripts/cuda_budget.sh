#!/usr/bin/env bash
# What each CUDA kernel takes of an SM of an H100 (sm_90), against the record in kernels/cuda/budget.txt:
#   scripts/cuda_budget.sh [--update] [--budget FILE] [--outputs FOLDER] [BUILD]
# BUILD (build/test) is a configured build with nvcc: its compile_commands.json says which files are compiled and how.
# --update writes the record and keeps its reasons. --outputs takes what an earlier run left in BUILD/cuda_budget instead
# of compiling. Exit code 77: no nvcc in that build, or another release than the record's.
#
# The build's own objects would not do: ptxas does not report launch bounds, which are taken from the PTX here. A file is
# compiled again only when it, a header or its command has changed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

arch=sm_90
update=false budget=kernels/cuda/budget.txt outputs='' build=build/test
while [[ $# -gt 0 ]]; do
  case "$1" in
    --update) update=true ;;
    --budget) budget=${2:?--budget needs a file}; shift ;;
    --outputs) outputs=${2:?--outputs needs a folder}; shift ;;
    -*) die "unknown option '$1'; expected --update, --budget or --outputs" ;;
    *) build=$1 ;;
  esac
  shift
done
command -v c++filt >/dev/null || die "no c++filt (Debian: binutils)"

skip() {
  printf 'SKIP cuda_budget: %s\n' "$*"
  exit 77
}

# field NAME: that string of a line of compile_commands.json, as CMake writes it, from standard input.
field() { sed -n 's/^ *"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' | sed 's/\\\(["\\]\)/\1/g'; }

# stem_of FILE: kernels/cuda/x.cu is x, kernels/cuda/x/y.cu is x-y.
stem_of() {
  local stem=${1##*/kernels/cuda/}
  stem=${stem%.cu}
  printf '%s\n' "${stem//\//-}"
}

# fresh STEM COMMAND: true iff STEM.ptxas is what COMMAND gives of the files as they are.
fresh() {
  local stem=$1 dependencies file
  [[ -f $stem.ptxas && -f $stem.command && $(<"$stem.command") == "$2" ]] || return 1
  read -r -d '' -a dependencies < <(sed 's/^[^:]* ://; s/\\$//' "$stem.d") || true
  for file in "${dependencies[@]}"; do
    [[ -f $file && ! $file -nt $stem.ptxas ]] || return 1
  done
}

# compile DIRECTORY COMMAND STEM: leaves STEM.ptxas, what ptxas says of each kernel, and STEM.ptx, of the PTX the lines
# about entries, launch bounds and dynamic shared memory.
compile() (
  local stem=$3 arguments kept=() i
  set -f  # code=[sm_90] is no pattern
  eval "arguments=($2)"
  for ((i = 0; i < ${#arguments[@]}; ++i)); do
    case "${arguments[i]}" in
      --generate-code=* | -c | -MD) ;;
      -o | -MT | -MF) i=$((i + 1)) ;;
      *) kept+=("${arguments[i]}") ;;
    esac
  done
  kept+=(-cubin "-arch=$arch" -Xptxas=-v)
  if fresh "$stem" "$nvcc_version ${kept[*]}"; then return; fi
  rm -rf -- "$stem.ptxas" "$stem.keep"
  mkdir -p "$stem.keep"
  cd "$1"
  if ! "${kept[@]}" --keep --keep-dir "$stem.keep" -MD -MF "$stem.d" -o "$stem.keep/out.cubin" >"$stem.log" 2>&1; then
    cat "$stem.log" >&2
    return 1
  fi
  set +f
  grep -hE '\.entry |^\.(max|req)ntid|oche_dynamic_shared' "$stem.keep"/*.ptx >"$stem.ptx" || [[ $? -eq 1 ]]
  printf '%s\n' "$nvcc_version ${kept[*]}" >"$stem.command"
  mv "$stem.log" "$stem.ptxas"
  rm -rf -- "$stem.keep"
)

compile_all() {
  local entry source running=0 failed=0
  mkdir -p "$outputs"
  for entry in "${entries[@]}"; do
    source=$(field file <<<"$entry")
    if ((running >= jobs)); then
      wait -n || failed=1
      running=$((running - 1))
    fi
    compile "$(field directory <<<"$entry")" "$(field command <<<"$entry")" "$outputs/$(stem_of "$source")" &
    running=$((running + 1))
  done
  while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
  done
  [[ $failed -eq 0 ]] || die "nvcc failed"
}

# figures STEM: a line for each kernel, tab-separated: registers, static shared memory, bytes of spill stores and loads,
# bytes of stack, threads of a block (as by the launch bounds, else 256), 1 iff it has dynamic shared memory, file, name.
figures() {
  awk -v OFS='\t' -v file="${1##*/}" -v quote="'" '
    FILENAME ~ /\.ptx$/ && /\.entry / { entry = $0; sub(/.*\.entry /, "", entry); sub(/[( ].*/, "", entry); in_ptx[entry] }
    FILENAME ~ /\.ptx$/ && /ntid/ { gsub(/,/, ""); block[entry] = $2 * ($3 ? $3 : 1) * ($4 ? $4 : 1) }
    FILENAME ~ /\.ptx$/ && /oche_dynamic_shared/ && !/\.extern/ { dynamic[entry] = 1 }
    FILENAME ~ /\.ptx$/ { next }
    /Compiling entry function/ { split($0, part, quote); entry = part[2]; names[entry] }
    /Function properties for/ { function_name = $NF }
    /bytes stack frame/ && $1 + $5 + $9 > 0 {  # also of functions that were not inlined
      names[function_name]; stack[function_name] = $1; stores[function_name] = $5; loads[function_name] = $9
    }
    /: Used [0-9]+ registers/ {
      for (i = 1; i < NF; ++i) {
        if ($i == "Used") registers[entry] = $(i + 1)
        if ($(i + 2) ~ /^smem/) shared[entry] = $i
      }
    }
    END {
      for (n in names) {
        if (n in registers && !(n in in_ptx)) { print n ": not in " file ".ptx" >"/dev/stderr"; exit 1 }
        print registers[n] + 0, shared[n] + 0, stores[n] + 0, loads[n] + 0, stack[n] + 0,
            n in block ? block[n] : 256, dynamic[n] + 0, file, n
      }
    }' "$1.ptx" "$1.ptxas"
}

if [[ -z $outputs ]]; then
  # Of the library kernels_cuda; the host compiler has the same files, for the tests of the kernels on the host.
  mapfile -t entries < <(
    tr '\n' '\v' <"$build/compile_commands.json" 2>/dev/null | sed 's/},\{0,1\}\v/&\n/g' |
      grep -E '/kernels/cuda/[^"]*\.cu"' | grep -e ' -Dkernels_cuda_EXPORTS ')
  [[ ${#entries[@]} -gt 0 ]] || skip "no kernel is compiled by nvcc in $build"
  entries=("${entries[@]//$'\v'/$'\n'}")
  nvcc=$(field command <<<"${entries[0]}")
  nvcc_version=$("${nvcc%% *}" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
  recorded_version=$(sed -n 's/^nvcc //p' "$budget" 2>/dev/null || true)
  if ! $update && [[ -n $recorded_version && $nvcc_version != "$recorded_version" ]]; then
    skip "nvcc is $nvcc_version, $budget was written with $recorded_version"
  fi
  outputs=$PWD/$build/cuda_budget
  if [[ $build == /* ]]; then outputs=$build/cuda_budget; fi
  compile_all
  stems=()
  for entry in "${entries[@]}"; do stems+=("$outputs/$(stem_of "$(field file <<<"$entry")")"); done
else
  nvcc_version=recorded
  stems=("$outputs"/*.ptxas)
  stems=("${stems[@]%.ptxas}")
fi

rows=$(mktemp)
trap 'rm -f -- "$rows" "$rows.new"' EXIT
if [[ ! -f $budget ]]; then
  $update || die "no $budget (--update writes it)"
  printf '' >"$budget"
fi
for stem in "${stems[@]}"; do figures "$stem"; done | c++filt |
  awk -f scripts/cuda_budget.awk -v mode=rows -v budget="$budget" kernels/*.h kernels/cuda/*.cu* "$budget" - |
  LC_ALL=C sort -k 8 >"$rows"

if $update; then
  {
    cat <<END
# What each CUDA kernel takes of an SM of an H100 (sm_90), as ptxas counts it. scripts/cuda_budget.sh --update writes the
# table; the test cuda_budget fails where a kernel takes more, spills, or fills less than half an SM without a reason.
#   registers a thread; shared bytes a block, those of \`dynamic\` included; bytes of spill stores, spill loads and stack a
#   thread; threads of a block; occupancy: warps of the 64 that an SM can hold.
# Lines that the script keeps; KERNEL is a name below, or one up to a bracket or comma:
#   dynamic KERNEL BYTES      the most shared memory that a launch asks for besides
#   spills KERNEL REASON
#   occupancy KERNEL REASON   where it is below half
nvcc $nvcc_version
END
    grep -E '^(dynamic|spills|occupancy) ' "$budget" | LC_ALL=C sort || true
    printf '\nregisters shared stores loads stack block occupancy kernel\n'
    cut -f 1 "$rows"
  } >"$rows.new"
  cat "$rows.new" >"$budget"
fi
awk -f scripts/cuda_budget.awk -v mode=compare -v budget="$budget" "$budget" "$rows"
