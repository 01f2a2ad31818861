# `oche derive`, `oche inspect`, `oche doctor`.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

oche(0 search ${SMALL} --out run --quiet)
file(READ ${WORK}/run/genotype.txt text)

# derive, from everything that has alphas.
foreach(path run run/ckpt/epoch-0002.safetensors)
  oche(0 derive ${path})
  expect_equal("${out}" "${text}")
endforeach()
oche(0 derive run --json --svg cells)
file(READ ${WORK}/run/genotype.json json)
expect_equal("${out}" "${json}")
foreach(cell normal reduce)
  file(GLOB picture RELATIVE ${WORK} ${WORK}/cells/${cell}.*)
  expect_match("${err}" "${picture}\n")
  string(REPLACE cells run same "${picture}")
  file(READ ${WORK}/${picture} drawn)
  file(READ ${WORK}/${same} expected)
  expect_equal("${drawn}" "${expected}")
endforeach()

# A run.
oche(0 inspect run)
expect_match("${out}" "search +darts on patterns, seed 0\nstate +finished, 2 of 2 epochs of 2 steps\n")
expect_match("${out}" "\n +2 +0\\.[0-9]+ .*whole halves: accuracy train.*Genotype\\(normal=.* weights.safetensors\n")
oche(0 inspect run --json)
expect_json("${out}" run kind)
expect_json("${out}" finished state)
expect_json("${out}" 80 alphas)
expect_json("${out}" 2 epochs 1 epoch)
expect_json("${out}" darts-cnn genotype space)
string(LENGTH "${json}" bytes)
expect_json("${out}" ${bytes} files genotype.json)

# Array files.
oche(0 inspect run/ckpt/epoch-0002.safetensors)
expect_match("${out}" "checksum +ok\n.*  epoch +2\n.*  kind +oche-checkpoint\n.*  step +4\n")
expect_match("${out}" "\nalpha/normal +F32 +\\(5, 8\\) +-?[0-9.e-]+ +-?[0-9.e-]+ +[0-9.e-]+\n")
oche(0 inspect run/weights.safetensors --json)
expect_json("${out}" ok checksum)
expect_json("${out}" oche-weights metadata kind)
string(JSON count LENGTH "${out}" arrays)
if(NOT count GREATER 100)
  message(SEND_ERROR "weights.safetensors: ${count} arrays")
endif()
# One made by hand: f16 1, -2, inf; bf16 3, -4; i64 7.
set(arrays [[{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[6,10]},"i":{"dtype":"I64","shape":[1],"data_offsets":[10,18]}}]])
string(LENGTH "${arrays}" length)
file(WRITE ${WORK}/header.json "${arrays}")
execute_process(
  COMMAND sh -c "{ printf \"\\\\$(printf %03o ${length})\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\"; cat header.json
                   printf '\\0\\074\\0\\300\\0\\174' ; printf '\\100\\100\\200\\300'
                   printf '\\007\\0\\0\\0\\0\\0\\0\\0'; } > mixed.bin"
  WORKING_DIRECTORY ${WORK} COMMAND_ERROR_IS_FATAL ANY)
oche(0 inspect mixed.bin)
expect_match("${out}" "checksum +none\n")
expect_match("${out}" "\nh +F16 +\\(3\\) +-2 +1 +2.2361  1 not finite\n")
expect_match("${out}" "\nb +BF16 +\\(2\\) +-4 +3 +5\n")
expect_match("${out}" "\ni +I64 +\\(1\\) *\n")

# Genotypes.
oche(0 inspect run/genotype.txt)
expect_match("${out}" "normal cell: 2 nodes\n")
oche(0 inspect run/genotype.json --json)
expect_json("${out}" genotype kind)
oche(0 inspect darts-v2 --json)
expect_json("${out}" 5 op_counts normal sep_conv_3x3)
expect_json("${out}" 2 op_counts normal skip_connect)
expect_json("${out}" 3 op_counts reduce skip_connect)

# The machine.
oche(0 doctor --data none)
expect_match("${out}" "devices +cpu\nCUDA +not part of this version\n.*memory.*Graphviz +(yes|no)[^\n]*\nimages +PNG (yes|no).*, JPEG (yes|no).*patterns: ok")
expect_match("${out}" "cifar10: [^\n]*30730000 bytes[^\n]*scripts/get_data.sh cifar10 'none/cifar10'\n")
expect_match("${out}" "fashion-mnist: [^\n]*60008 bytes[^\n]*scripts/get_data.sh fashion-mnist 'none/fashion-mnist'\n")
oche(0 doctor --data none --json)
expect_json("${out}" cpu devices 0)
string(JSON threads GET "${out}" threads)
if(NOT threads GREATER 0)
  message(SEND_ERROR "doctor: ${threads} threads")
endif()
