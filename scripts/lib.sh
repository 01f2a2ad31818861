# Shared by the scripts: strict mode, the project root as working folder, and the build.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs=${JOBS:-$(nproc)}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

cpp_files=('*.h' '*.cpp' '*.cu' '*.cuh')

# Our C++ files, NUL-separated: all that git does not ignore. (Git still lists what the working tree has lost.)
all_sources() {
  git ls-files --cached --others --exclude-standard -z -- "${cpp_files[@]}" |
    while IFS= read -r -d '' file; do if [[ -f $file ]]; then printf '%s\0' "$file"; fi; done
}

# The same, of those that differ from REVISION: changed_sources REVISION.
changed_sources() {
  git diff --name-only --diff-filter=d -z "$1" -- "${cpp_files[@]}"
  git ls-files --others --exclude-standard -z -- "${cpp_files[@]}"
}

# build PRESET [cmake options]: configures and builds build/PRESET (CMakePresets.json).
build() {
  local preset=$1
  shift
  if [[ -z ${CMAKE_GENERATOR:-} ]] && command -v ninja >/dev/null; then export CMAKE_GENERATOR=Ninja; fi
  cmake --preset "$preset" "$@"
  cmake --build --preset "$preset" --parallel "$jobs"
}
