#!/usr/bin/env bash
# Builds with warnings as errors and runs the tests: scripts/test.sh [--no-install] [ctest options, such as -R kernels]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == --no-install ]]; then
  shift
else
  scripts/deps.sh
fi
build test
ctest --preset test --parallel "$jobs" "$@"
