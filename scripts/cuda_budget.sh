#!/usr/bin/env bash
# Registers, shared memory and spills of every CUDA kernel, as nvcc allots them for an H100 (sm_90), in kernels/cuda/budget.txt.
#   scripts/cuda_budget.sh          writes the file anew; reasons in it stay
#   scripts/cuda_budget.sh --check  fails where a kernel takes more than the file says, is not in it, or spills without a
#                                   reason; exit code 77 without the nvcc that the file was written with
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file=kernels/cuda/budget.txt
case "${1:-}" in
  --check) check=1 ;;
  '') check='' ;;
  *) die "unknown option '$1'; expected --check or nothing" ;;
esac
nvcc=$(command -v nvcc || command -v "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc") || {
  printf 'cuda_budget.sh: no nvcc\n' >&2
  exit 77
}
version=$("$nvcc" --version | sed -n 's/.*release.*, V//p')
recorded=$(sed -n 's/^# nvcc //p' "$file" 2>/dev/null || true)
if [[ $check && $recorded != "$version" ]]; then
  printf 'cuda_budget.sh: %s was written with nvcc %s, this is %s\n' "$file" "$recorded" "$version" >&2
  exit 77
fi

# registers, shared bytes, spilled bytes, kernel: one line for each kernel of a source. Options as in kernels/CMakeLists.txt.
usage() {
  local stem=${1##*/}
  "$nvcc" -std=c++20 -I. -O3 --expt-relaxed-constexpr --fmad=false -arch=sm_90 --resource-usage -cubin -o /dev/null "$1" 2>&1 |
    c++filt | awk -v stem="${stem%.cu}" '
      /Compiling entry function/ {
        name = $0
        sub(/^[^\047]*\047/, "", name); sub(/\047 for \047.*/, "", name); sub(/^void /, "", name)
        gsub(/\(anonymous namespace\)::/, "", name); gsub(/oche::kernels::(cuda::)?/, "", name)
        if (!sub(/>\([^>]*\)$/, ">", name) && !sub(/>\(.*$/, ">", name)) sub(/\(.*$/, "", name)
      }
      /bytes spill stores/ { match($0, /[0-9]+ bytes spill stores/); spills = substr($0, RSTART) + 0 }
      /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5) + 0
        shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART) + 0 : 0
        print registers "\t" shared "\t" spills "\t" stem ": " name
      }
      /error/ { print > "/dev/stderr" }'
}

# The same with the part of the 64 warps of a multiprocessor that blocks of 256 threads (kBlockSize) fill: 65536 registers,
# given out in eights to a thread; 228 KiB of shared memory, 1 KiB of it to each block (CUDA C++ Programming Guide, "Compute
# Capabilities").
with_occupancy() {
  awk -F '\t' -v OFS='\t' '{
    blocks = int(int(65536 / (int(($1 + 7) / 8) * 8 * 32)) / 8)
    by_shared = int(233472 / ($2 + 1024))
    if (by_shared < blocks) blocks = by_shared
    if (blocks > 8) blocks = 8
    print $1, $2, $3, blocks * 8 * 100 / 64, $4
  }'
}

export -f usage
export nvcc
# shellcheck disable=SC2016
now=$(git ls-files --cached --others --exclude-standard -z -- 'kernels/cuda/*.cu' |
  xargs -0 -n 1 -P 2 bash -c 'usage "$0"' | with_occupancy | LC_ALL=C sort -t $'\t' -k 5)
[[ $now ]] || die "nvcc named no kernels"

if [[ $check ]]; then
  awk -F '\t' '
    FNR == NR {
      if ($0 ~ /^#/) next
      for (i = 1; i <= 3; ++i) { sub(/^ +/, "", $i); limit[$5, i] = $i }
      known[$5] = 1; reason[$5] = $6; next
    }
    { seen[$5] = 1 }
    !($5 in known) { print "not in the file: " $5; bad = 1; next }
    {
      split("registers,bytes of shared memory,spilled bytes", what, ",")
      for (i = 1; i <= 3; ++i) if ($i + 0 > limit[$5, i] + 0) { print $5 ": " $i " " what[i] ", recorded " limit[$5, i]; bad = 1 }
      if ($3 > 0 && reason[$5] == "") { print $5 ": spills, and no reason stands in the file"; bad = 1 }
    }
    END {
      for (k in known) if (!(k in seen)) { print "in the file alone: " k; bad = 1 }
      exit bad
    }' "$file" <(printf '%s\n' "$now") || die "kernels differ from $file; scripts/cuda_budget.sh writes it anew"
  exit 0
fi

reasons=$(grep -v '^#' "$file" 2>/dev/null | cut -f 5-6 || true)
{
  printf '# What nvcc allots to the CUDA kernels on an H100 (sm_90); written and checked by scripts/cuda_budget.sh.\n'
  printf '# nvcc %s\n' "$version"
  printf '# registers, bytes of static shared memory, spilled bytes, occupancy in blocks of 256 threads (%%), kernel, reason\n'
  awk -F '\t' -v OFS='\t' '
    FNR == NR { reason[$1] = $2; next }
    {
      printf "%3d\t%5d\t%3d\t%3d\t%s%s\n", $1, $2, $3, $4, $5, reason[$5] == "" ? "" : "\t" reason[$5]
      if ($4 < 50) low[++lows] = sprintf("# %d %%: %s (%d registers, %d bytes shared)", $4, $5, $1, $2)
    }
    END {
      print "# Below half of the warps that a multiprocessor holds: " lows + 0 " of " FNR " kernels."
      for (i = 1; i <= lows; ++i) print low[i]
    }' <(printf '%s\n' "$reasons") <(printf '%s\n' "$now")
} >"$file.new"
mv "$file.new" "$file"
