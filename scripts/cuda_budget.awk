# Names, occupancy and comparison for scripts/cuda_budget.sh, in two modes:
#   mode=rows     figures of ptxas (tab-separated: registers, shared, stores, loads, stack, block, dynamic, file, demangled
#                 name) to rows of the budget; before them the files with enumerators and the budget itself,
#   mode=compare  rows in the budget, then rows now: what is wrong, one line each; `problems` of them.

function ceil_to(x, unit) { return int((x + unit - 1) / unit) * unit }
function least(a, b) { return a < b ? a : b }

# Warps of 64 that an SM holds, in %. Compute capability 9.0 (CUDA C++ Programming Guide, "Compute Capabilities", table
# of technical specifications): 64 Ki registers, 64 warps, 32 blocks, 228 KiB of shared memory. Granularities as in the
# toolkit's cuda_occupancy.h: registers by 256 a warp, in four partitions of the SM; shared memory by 128 bytes, 1 KiB of
# each block's is the system's.
function occupancy(registers, shared, block,    warps, warp_registers, blocks) {
  warps = ceil_to(block, 32) / 32
  blocks = least(32, int(64 / warps))
  warp_registers = ceil_to(registers * 32, 256)
  if (warp_registers > 0) {
    if (warp_registers * ceil_to(warps, 4) > 65536) return 0
    blocks = least(blocks, int(int(16384 / warp_registers) * 4 / warps))
  }
  blocks = least(blocks, int(228 * 1024 / (ceil_to(shared, 128) + 1024)))
  return int(100 * blocks * warps / 64)
}

# True iff `key` of a line of the budget speaks of the kernel: the whole name, or all of it up to a bracket or comma.
function covers(key, name) {
  return index(name, key) == 1 && substr(name, length(key) + 1, 1) ~ /^[<>,]?$/
}
# The longest such key of the table, "" for none.
function find(table, name,    key, longest) {
  longest = ""
  for (key in table) if (covers(key, name) && length(key) > length(longest)) longest = key
  return longest
}

# void oche::kernels::(anonymous namespace)::map_kernel<4, ...>(long, ...) to map_kernel<4,...>.
function short_name(name,    i, c, depth, kind, number) {
  gsub(/\(anonymous namespace\)::/, "", name)
  gsub(/oche::kernels::cuda::|oche::kernels::/, "", name)
  while (match(name, /\([A-Za-z_0-9:]+\)-?[0-9]+/)) {  # (Unary)3, an enumerator
    kind = substr(name, RSTART + 1, RLENGTH - 1)
    number = kind
    sub(/\).*/, "", kind)
    sub(/.*\)/, "", number)
    c = kind ":" number
    name = substr(name, 1, RSTART - 1) ((c in enumerators) ? enumerators[c] : c) substr(name, RSTART + RLENGTH)
  }
  for (i = 1; i <= length(name); ++i) {
    c = substr(name, i, 1)
    if (c == "<") ++depth
    if (c == ">") --depth
    if (c == "(" && depth == 0) break
  }
  name = substr(name, 1, i - 1)
  sub(/^void /, "", name)
  gsub(/unsigned char/, "uint8_t", name)
  gsub(/unsigned int/, "uint32_t", name)
  gsub(/unsigned long/, "uint64_t", name)
  gsub(/, /, ",", name)
  gsub(/ >/, ">", name)
  gsub(/<long/, "<int64_t", name)
  gsub(/,long/, ",int64_t", name)
  gsub(/ /, "_", name)
  return name
}

# enum class Unary { kNegate, kExp }; also over several lines.
function read_enumerators(line,    kind, list, names, count, i) {
  sub(/\/\/.*/, "", line)
  if (line ~ /enum class/) declaration = ""
  else if (declaration == "") return
  declaration = declaration line
  if (declaration !~ /}/) return
  kind = list = declaration
  sub(/.*enum class +/, "", kind)
  sub(/[^A-Za-z0-9_].*/, "", kind)
  sub(/[^{]*{/, "", list)
  sub(/}.*/, "", list)
  gsub(/[ \t]/, "", list)
  count = list ~ /=/ ? 0 : split(list, names, ",")  # numbered by hand: the number stands for it
  for (i = 1; i <= count; ++i) enumerators[kind ":" (i - 1)] = names[i]
  declaration = ""
}

function complain(text) {
  print text
  ++problems
}

# A reason for nothing misleads.
function expect_kernel(key,    name) {
  for (name in now) if (covers(key, name)) return
  complain(key ": a reason for no kernel")
}

# Lines of the budget: dynamic KERNEL BYTES, spills KERNEL TEXT, occupancy KERNEL TEXT.
FILENAME == budget && $1 == "dynamic" { dynamic[$2] = $3 }
FILENAME == budget && $1 == "spills" && NF > 2 { spills_reason[$2] }
FILENAME == budget && $1 == "occupancy" && NF > 2 { occupancy_reason[$2] }

mode == "rows" && FILENAME ~ /\.(h|cuh|cu)$/ { read_enumerators($0) }
mode == "rows" && FILENAME == "-" {
  split($0, f, "\t")
  name = f[8] "/" short_name(f[9])
  shared = f[2]
  key = find(dynamic, name)
  if (key != "") shared += dynamic[key]
  else if (f[7]) name = name "\tdynamic"  # how much is not known
  printf "%9d %6d %6d %5d %5d %5d %9s %s\n",
      f[1], shared, f[3], f[4], f[5], f[6], occupancy(f[1], shared, f[6]) "%", name
}

mode == "compare" && $1 ~ /^[0-9]+$/ && FILENAME == budget { recorded[$8] = $0 }
mode == "compare" && FILENAME != budget {
  if ($8 in now) complain($8 ": two kernels of this name")
  now[$8] = $0
  if ($9 == "dynamic") complain($8 ": dynamic shared memory, and no line `dynamic KERNEL BYTES`")
  if ($3 + $4 > 0 && find(spills_reason, $8) == "") {
    complain($8 ": " $3 " bytes of spill stores, " $4 " of loads, and no line `spills KERNEL REASON`")
  }
  if ($7 + 0 < 50 && find(occupancy_reason, $8) == "") {
    complain($8 ": " $1 " registers, occupancy " $7 ", and no line `occupancy KERNEL REASON`")
  }
  if (!($8 in recorded)) {
    complain($8 ": not in the budget")
    next
  }
  split(recorded[$8], was)
  split("registers,bytes of shared memory,bytes of spill stores,bytes of spill loads,bytes of stack", what, ",")
  for (i = 1; i <= 5; ++i) if ($i + 0 > was[i] + 0) complain($8 ": " $i " " what[i] ", recorded " was[i])
  if ($7 + 0 < was[7] + 0) complain($8 ": occupancy " $7 ", recorded " was[7])
  for (i = 1; i <= 5; ++i) if ($i + 0 < was[i] + 0) { ++better; break }
}

END {
  if (mode == "compare") {
    for (name in recorded) if (!(name in now)) complain(name ": in the budget, but no such kernel")
    for (key in spills_reason) expect_kernel(key)
    for (key in occupancy_reason) expect_kernel(key)
    for (name in now) ++kernels
    if (kernels == 0) complain("no kernel was found")
    if (better) print "less than the budget is enough for " better " kernels (--update lowers it)"
    if (!problems) print kernels " kernels within the budget"
    exit problems > 0
  }
}
