#!/usr/bin/env bash
# Formats our C++ files in place, or with --check only says which are not formatted. Exit code 77: no clang-format.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Versions differ in details, so the one that Debian 12 has wins where it is installed.
formatter=$(command -v clang-format-14 || command -v clang-format) || {
  printf 'format.sh: no clang-format (Debian: clang-format)\n' >&2
  exit 77
}

case "${1:-}" in
  --check) mode=(--dry-run --Werror) ;;
  '') mode=(-i) ;;
  *) die "unknown option '$1'; expected --check or nothing" ;;
esac
all_sources | xargs -0 -r "$formatter" "${mode[@]}"
