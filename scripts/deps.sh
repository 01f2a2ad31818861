#!/usr/bin/env bash
# Installs what the build needs and is not there yet (Debian, Ubuntu): scripts/deps.sh [--list]
# The only list of packages; touches nothing when all are present.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

required=(g++ cmake ninja-build git catch2 libfmt-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libbenchmark-dev)
optional=(
  libgraphviz-dev pkg-config  # pictures of cells
  libpng-dev libjpeg-dev      # folders of images
  help2man                    # manual pages
  ccache                      # faster rebuilds
  clang-format shellcheck     # the checks of .ci/run
  clang-tidy                  # scripts/tidy.sh
  clang libclang-rt-dev       # scripts/fuzz.sh
  python3-numpy               # the test of docs/formats.md
  libdnnl-dev libopenblas-dev # baselines of oche bench
)

installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_of() {
  local package
  for package in "$@"; do
    if ! installed "$package"; then printf '%s\n' "$package"; fi
  done
}

case "${1:-}" in
  --list) printf 'required: %s\noptional: %s\n' "${required[*]}" "${optional[*]}"; exit ;;
  '') ;;
  *) die "unknown option '$1'; expected --list or nothing" ;;
esac

if ! command -v dpkg-query >/dev/null; then
  printf 'deps.sh: not a Debian system; install the counterparts of: %s\n' "${required[*]} ${optional[*]}" >&2
  exit 0
fi

mapfile -t missing < <(missing_of "${required[@]}")
mapfile -t missing_optional < <(missing_of "${optional[@]}")
if [[ ${#missing[@]} -eq 0 && ${#missing_optional[@]} -eq 0 ]]; then exit 0; fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    printf 'deps.sh: missing; as root: apt-get install %s\n' "${missing[*]} ${missing_optional[*]}" >&2
    exit $((${#missing[@]} > 0))
  fi
  as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y "$@"; }

printf 'deps.sh: installing %s\n' "${missing[*]} ${missing_optional[*]}" >&2
apt update || printf 'deps.sh: apt-get update failed; trying with the package lists at hand\n' >&2
if [[ ${#missing[@]} -gt 0 ]]; then apt install --no-install-recommends "${missing[@]}" >/dev/null; fi
for package in "${missing_optional[@]}"; do
  apt install --no-install-recommends "$package" >/dev/null ||
    printf 'deps.sh: optional package %s was not installed; going on without\n' "$package" >&2
done
