#!/usr/bin/env bash
# Downloads a data set, checks it, unpacks it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/get_data.sh SET [DIR]

Fetches a data set into DIR, which is data/SET unless given:
  cifar10        162 MiB, binary version, into DIR/cifar-10-batches-bin
  cifar100       161 MiB, binary version, into DIR/cifar-100-binary
  mnist           11 MiB, four idx files
  fashion-mnist   29 MiB, four idx files
An interrupted download is continued, a complete data set is left alone.
What is downloaded must have the known SHA-256; it is removed once unpacked.

Environment, for a mirror (SET in capitals, _ for -):
  OCHE_SET_URL      address of the archive; of the folder with the four .gz files
  OCHE_SET_SHA256   its SHA-256, if the mirror packs the same files differently; of the four files, in the
                    order training images, training labels, test images, test labels

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

# fetch URL FILE SHA256: leaves FILE with this checksum.
fetch() {
  local url=$1 file=$2 expected=$3 actual
  if [[ ! -f $file || $(sha256_of "$file") != "$expected" ]]; then
    download "$url" "$file" || fail "download of $url failed; run again to continue, or remove '$file' to start over"
  fi
  actual=$(sha256_of "$file")
  if [[ $actual != "$expected" ]]; then
    rm -f -- "$file"
    fail "$url: SHA-256 is $actual, expected $expected; the file was removed, run again to download it anew"
  fi
}

# True iff folder $1 holds the files that the other arguments name as NAME:BYTES.
complete() {
  local folder=$1 file
  shift
  for file in "$@"; do
    [[ -f $folder/${file%:*} && $(wc -c <"$folder/${file%:*}") -eq ${file#*:} ]] || return 1
  done
}

# get_archive DIR URL SHA256 FOLDER NAME:BYTES...: the folder in a .tar.gz.
get_archive() {
  local dir=$1 url=$2 sha256=$3 name=$4
  shift 4
  local folder=$dir/$name archive=$dir/$name.tar.gz.part
  if complete "$folder" "$@"; then
    echo "$folder is complete"
    return
  fi
  mkdir -p -- "$dir" || fail "cannot create '$dir'"
  fetch "$url" "$archive" "$sha256"

  # Unpacked aside and moved when complete, so that the folder is never seen half full.
  unpacked=$(mktemp -d -- "$dir/.unpack.XXXXXX")
  trap 'rm -rf -- "$unpacked"' EXIT
  tar -xzf "$archive" -C "$unpacked" || fail "cannot unpack '$archive'"
  complete "$unpacked/$name" "$@" || fail "'$archive' does not hold $name with the files $*"
  if [[ -e $folder ]]; then mv -- "$folder" "$unpacked/incomplete"; fi
  mv -- "$unpacked/$name" "$folder"
  rm -f -- "$archive"
  echo "$folder is complete"
}

# get_idx DIR URL SHA256...: the four files of MNIST and its kin, each in a .gz.
get_idx() {
  local dir=$1 url=${2%/}
  shift 2
  local files=(train-images-idx3-ubyte:47040016 train-labels-idx1-ubyte:60008
               t10k-images-idx3-ubyte:7840016 t10k-labels-idx1-ubyte:10008)
  [[ $# -eq ${#files[@]} ]] || fail "expected ${#files[@]} SHA-256, got $#: $*" 2
  mkdir -p -- "$dir" || fail "cannot create '$dir'"
  local file name
  for file in "${files[@]}"; do
    name=${file%:*}
    if ! complete "$dir" "$file"; then
      fetch "$url/$name.gz" "$dir/$name.gz.part" "$1"
      gzip -dc <"$dir/$name.gz.part" >"$dir/$name.part" || fail "cannot unpack '$dir/$name.gz.part'"
      mv -- "$dir/$name.part" "$dir/$name"
      complete "$dir" "$file" || fail "'$dir/$name' does not have ${file#*:} bytes"
      rm -f -- "$dir/$name.gz.part"
    fi
    shift
  done
  echo "$dir is complete"
}

case ${1:-} in
  -h | --help) usage; exit ;;
  "") usage >&2; exit 2 ;;
esac
[[ $# -le 2 ]] || fail "expected at most one directory, got $*; see --help" 2
dir=${2:-data/$1}

# The archives of Toronto and the mirrors that torchvision uses. The SHA-256 are those that TensorFlow Datasets records
# for the same files. The publishers themselves give MD5 alone: c32a1d4ab5d03f1284b67883e8d87530 for CIFAR-10,
# 03b5dce01913d631647c71ecec9e9cb8 for CIFAR-100, a table in the README of Fashion-MNIST.
case $1 in
  cifar10)
    get_archive "$dir" "${OCHE_CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}" \
      "${OCHE_CIFAR10_SHA256:-c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd}" \
      cifar-10-batches-bin data_batch_{1,2,3,4,5}.bin:30730000 test_batch.bin:30730000
    ;;
  cifar100)
    get_archive "$dir" "${OCHE_CIFAR100_URL:-https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz}" \
      "${OCHE_CIFAR100_SHA256:-58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec}" \
      cifar-100-binary train.bin:153700000 test.bin:30740000
    ;;
  mnist)
    read -ra sha256 <<<"${OCHE_MNIST_SHA256:-\
      440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 \
      3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c \
      8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 \
      f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6}"
    get_idx "$dir" "${OCHE_MNIST_URL:-https://ossci-datasets.s3.amazonaws.com/mnist}" "${sha256[@]}"
    ;;
  fashion-mnist)
    read -ra sha256 <<<"${OCHE_FASHION_MNIST_SHA256:-\
      3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84 \
      a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845 \
      346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073 \
      67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5}"
    get_idx "$dir" "${OCHE_FASHION_MNIST_URL:-http://fashion-mnist.s3-website.eu-central-1.amazonaws.com}" "${sha256[@]}"
    ;;
  *) fail "unknown data set '$1'; expected cifar10, cifar100, mnist or fashion-mnist, see --help" 2 ;;
esac
