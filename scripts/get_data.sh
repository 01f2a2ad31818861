#!/usr/bin/env bash
# Downloads a data set, checks it, unpacks it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/get_data.sh cifar10 [DIR]

Fetches CIFAR-10 (binary version, 163 MiB) into DIR/cifar-10-batches-bin; DIR is data/cifar10 unless given.
An interrupted download is continued, a complete data set is left alone.
The archive must have the known SHA-256; it is removed once unpacked.

Environment, for a mirror:
  OCHE_CIFAR10_URL      address of the archive
  OCHE_CIFAR10_SHA256   its SHA-256, if the mirror packs the same files differently

Exit status: 0 done, 1 download or check failed, 2 usage.
TEXT
}

fail() {
  echo "get_data.sh: $1" >&2
  exit "${2:-1}"
}

# sha256_of FILE
sha256_of() {
  if command -v sha256sum >/dev/null; then
    sha256sum -- "$1" | cut -d' ' -f1
  elif command -v shasum >/dev/null; then
    shasum -a 256 -- "$1" | cut -d' ' -f1
  else
    fail "needs sha256sum or shasum; neither is installed"
  fi
}

# download URL FILE: continues FILE where an earlier attempt stopped.
download() {
  if command -v curl >/dev/null; then
    curl --fail --location --retry 3 --continue-at - --output "$2" -- "$1"
  elif command -v wget >/dev/null; then
    wget --continue --output-document="$2" -- "$1"
  else
    fail "needs curl or wget; neither is installed"
  fi
}

# True iff folder $1 holds the six files of CIFAR-10, each of its exact size.
cifar10_complete() {
  local name
  for name in data_batch_{1,2,3,4,5}.bin test_batch.bin; do
    [[ -f $1/$name && $(wc -c <"$1/$name") -eq 30730000 ]] || return 1
  done
}

get_cifar10() {
  local dir=$1
  local url=${OCHE_CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}
  local expected=${OCHE_CIFAR10_SHA256:-c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd}
  local folder=$dir/cifar-10-batches-bin archive=$dir/cifar-10-binary.tar.gz.part actual

  if cifar10_complete "$folder"; then
    echo "$folder is complete"
    return
  fi
  mkdir -p -- "$dir" || fail "cannot create '$dir'"

  if [[ ! -f $archive || $(sha256_of "$archive") != "$expected" ]]; then
    download "$url" "$archive" ||
      fail "download of $url failed; run again to continue, or remove '$archive' to start over"
  fi
  actual=$(sha256_of "$archive")
  if [[ $actual != "$expected" ]]; then
    rm -f -- "$archive"
    fail "$url: SHA-256 is $actual, expected $expected; the file was removed, run again to download it anew"
  fi

  # Unpacked aside and moved when complete, so that the folder is never seen half full.
  unpacked=$(mktemp -d -- "$dir/.unpack.XXXXXX")
  trap 'rm -rf -- "$unpacked"' EXIT
  tar -xzf "$archive" -C "$unpacked" || fail "cannot unpack '$archive'"
  cifar10_complete "$unpacked/cifar-10-batches-bin" ||
    fail "'$archive' does not hold cifar-10-batches-bin with six files of 30730000 bytes"
  if [[ -e $folder ]]; then mv -- "$folder" "$unpacked/incomplete"; fi
  mv -- "$unpacked/cifar-10-batches-bin" "$folder"
  rm -f -- "$archive"
  echo "$folder is complete"
}

case ${1:-} in
  -h | --help) usage ;;
  cifar10)
    [[ $# -le 2 ]] || fail "expected at most one directory, got $*; see --help" 2
    get_cifar10 "${2:-data/cifar10}"
    ;;
  "") usage >&2; exit 2 ;;
  *) fail "unknown data set '$1'; expected cifar10, see --help" 2 ;;
esac
