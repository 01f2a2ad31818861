#!/usr/bin/env bash
# clang-tidy on the .cpp files changed since HEAD, or on all: scripts/tidy.sh [--all | --since REVISION | FILE...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v clang-tidy >/dev/null || die "no clang-tidy (Debian: clang-tidy)"
case "${1:-}" in
  --all) mapfile -d '' -t files < <(all_sources) ;;
  --since) mapfile -d '' -t files < <(changed_sources "${2:?--since needs a revision}") ;;
  '') mapfile -d '' -t files < <(changed_sources HEAD) ;;
  *) files=("$@") ;;
esac

build=build/test
[[ -f $build/compile_commands.json ]] || die "no $build/compile_commands.json; run scripts/test.sh first"
units=()
for file in "${files[@]}"; do
  if [[ $file == *.cpp ]]; then units+=("$file"); fi
done
if [[ ${#units[@]} -eq 0 ]]; then
  printf 'tidy.sh: no .cpp file to look at\n' >&2
  exit 0
fi
printf '%s\0' "${units[@]}" | xargs -0 -n 1 -P "$jobs" clang-tidy --quiet -p "$build"
