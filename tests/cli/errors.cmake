# Exit codes and messages: one line on stderr, nothing on stdout, nothing left behind.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

# The command line.
fails(2 "no command")
fails(2 "unknown command 'serch'; did you mean search or bench\\?" serch)
fails(2 "unknown option '--versio'; did you mean --version\\?" --versio)
fails(2 "search: unknown option '--epoch'; did you mean --epochs\\?" search --epoch=3)
foreach(command search derive inspect doctor)
  fails(2 "${command}: unknown option '--jsn'; did you mean --json\\?" ${command} --jsn)
endforeach()
fails(2 "search: unexpected argument 'more'" search more)
fails(2 "search: --lr needs a value" search --lr)
fails(2 "--lr: 'fast' is not allowed; expected a number" search --lr fast)
fails(2 "--lr: 'inf' is not allowed" search --lr inf)
fails(2 "--lr: -1 is not allowed" search --lr -1)
fails(2 "--epochs: '1.5' is not allowed; expected a whole number" search --epochs 1.5)
fails(2 "--epochs: 0 is not allowed" search --epochs 0)
fails(2 "--seed: '9223372036854775808' is not allowed" search --seed 9223372036854775808)
fails(2 "--dtype: 'f16' is not allowed; expected f32 or f64" search --dtype f16)
fails(2 "--method: 'dart' is not allowed; expected one of darts, darts-1st; did you mean darts" search --method dart)
fails(2 "--gradient: 'none'.*finite-difference" search --gradient none)
fails(2 "--threads: 0 is not allowed" search --threads 0)
fails(2 "--train-size: 10001 is not allowed; patterns has 10000" search --train-size 10001 --dry-run)
fails(2 "--batch" search --train-size 16 --batch 64)
fails(2 "--batch" search --train-size 16 --batch 64 --dry-run)
fails(2 "--device: 'gpu'" search --device gpu)
fails(4 "--device cuda:0: this build has no CUDA" search --device cuda:0)
fails(4 "--device cuda: this build has no CUDA" search --device cuda --dry-run)

# --set, environment, configuration files.
fails(2 "--set: unknown key 'lr'; did you mean weights.lr or alphas.lr\\?" search --set lr=1)
fails(2 "--set: unknown key 'schedule.epoch'; did you mean schedule.epochs" search --set schedule.epoch=1)
fails(2 "--set 'seed': no value" search --set seed)
fails(2 "--set gradient.radius: 0 is not allowed" search --set gradient.radius=0)
set(ENV{OCHE_TRAIN_SIZE} many)
fails(2 "OCHE_TRAIN_SIZE: 'many' is not allowed" search)
unset(ENV{OCHE_TRAIN_SIZE})
fails(2 "--config: cannot open 'no.toml'" search --config no.toml)
# config_fails(text place-and-message)
function(config_fails text regex)
  file(WRITE ${WORK}/bad.toml "${text}")
  fails(2 "bad.toml:${regex}" search --config bad.toml)
endfunction()
config_fails("seed = 1\n[schedule]\nepochs = 2\n  btch = 4\n" "4:3: unknown key 'schedule.btch'; did you mean schedule.batch")
config_fails("[shedule]\n" "1:[0-9]+: unknown key 'shedule'")
config_fails("network = {layer = 3}\n" "1:12: unknown key 'network.layer'; did you mean network.layers")
config_fails("\nnetwork.layer = 3\n" "2:9: unknown key 'network.layer'")
config_fails("schedule = 3\n" "1:1: unknown key 'schedule'")
config_fails("[schedule]\nepochs = '2'\n" "2:10: schedule.epochs: expected a whole number")
config_fails("[schedule]\nepochs = 2.0\n" "2:10: schedule.epochs: expected a whole number")
config_fails("[data]\naugment = 1\n" "2:11: data.augment: expected true or false")
config_fails("method = 3\n" "1:10: method: expected a text in quotes")
config_fails("[weights]\nlr = [1]\n" "2:6: weights.lr: expected a number")
config_fails("[weights]\nlr = 1\nlr = 2\n" "3:6: [^\n]*redefine")
string(ASCII 21 control)  # does not reach the terminal
config_fails("seed = f${control}alse\n" "1:9: [^\n]*saw 'f\\\\x15'")
config_fails("[gradient]\nname = 'best'\n" "2:8: gradient.name: 'best' is not allowed")
if(EXISTS ${WORK}/runs)
  message(SEND_ERROR "a search that failed left a run directory")
endif()

# Numbers and memory.
fails(5 "non-finite value in .*step [0-9]+" search ${TINY} --dtype f32 --lr 1e30 --grad-clip 0 --epochs 9 --quiet --out wild)
set(sanitizer_options "$ENV{ASAN_OPTIONS}")
set(ENV{ASAN_OPTIONS} allocator_may_return_null=1:log_path=asan)
fails(4 "out of memory" search ${TINY} --channels 1000000000000)
set(ENV{ASAN_OPTIONS} "${sanitizer_options}")

# Memory that runs out within a step, where the process can be held to less of it. What was saved before is whole.
set(limited "ulimit -v 200000 && ${OCHE}")
execute_process(COMMAND sh -c "${limited} --version" OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE cannot_start)
if(NOT cannot_start)  # a sanitizer needs more addresses
  set(large "--train-size 64 --layers 2 --channels 8 --steps 2 --batch 32 --epochs 1 --threads 2 --quiet --out large")
  execute_process(COMMAND sh -c "${limited} search ${large}" WORKING_DIRECTORY ${WORK}
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  expect_equal("${code} ${out}" "4 ")
  expect_match("${err}" "^oche: [a-z0-9_]+: out of memory: [0-9]+ bytes asked while [0-9]+ are held; lower --batch\n$")
  file(GLOB_RECURSE temporaries ${WORK}/large/*tmp*)
  expect_equal("${temporaries}" "")
  oche(0 search --resume large --quiet)
  expect_exists(large/genotype.json)
endif()

# A NaN in a file of weights shows in the first step that meets it. The copy passes for another program's: without
# the checksum of ours.
oche(0 search ${TINY} --out whole --quiet)
execute_process(COMMAND sed -e "s/oche-weights/else-weights/" -e "s/sha256/Sha256/" whole/weights.safetensors
                WORKING_DIRECTORY ${WORK} OUTPUT_FILE nan.safetensors COMMAND_ERROR_IS_FATAL ANY)
file(READ ${WORK}/nan.safetensors length LIMIT 4 HEX)  # of the header, little-endian
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1" length ${length})
math(EXPR length "${length}")
file(READ ${WORK}/nan.safetensors header OFFSET 8 LIMIT ${length})
string(JSON place GET "${header}" "cells.0._ops.1._ops.4.op.6.weight" data_offsets 0)
math(EXPR place "8 + ${length} + ${place}")
execute_process(COMMAND sh -c "printf '\\000\\000\\300\\177' | dd of=nan.safetensors bs=1 seek=${place} conv=notrunc"
                WORKING_DIRECTORY ${WORK} ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
fails(5 "non-finite value in conv2d at step 0,.* cell 0, edge 1, sep_conv_3x3;" search ${TINY} --init nan.safetensors
      --quiet --out nan)

# Run directories.
file(WRITE ${WORK}/full/notes.txt "mine")
fails(2 "run directory 'full' is not empty; use --force" search ${TINY} --out full)
oche(0 search ${TINY} --out full --force --quiet)
expect_equal("${err}" "")
expect_exists(full/notes.txt full/genotype.json)

# Damaged files.
set(checkpoint full/ckpt/epoch-0001.safetensors)
file(COPY_FILE ${WORK}/${checkpoint} ${WORK}/bad.safetensors)
execute_process(COMMAND sh -c "printf '\\377' | dd of=bad.safetensors bs=1 seek=60000 conv=notrunc"
                WORKING_DIRECTORY ${WORK} ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND dd if=${checkpoint} of=short.safetensors bs=1000 count=20
                WORKING_DIRECTORY ${WORK} ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
foreach(file bad short)
  foreach(arguments "derive;${file}.safetensors" "inspect;${file}.safetensors"
                    "search;${TINY};--init;${file}.safetensors;--out;none")
    fails(6 "${file}.safetensors" ${arguments})
  endforeach()
endforeach()
fails(6 "is not part of this network|shape" search ${TINY} --channels 4 --init full/weights.safetensors --out none)
fails(6 "no alphas" derive full/weights.safetensors)
file(WRITE ${WORK}/bad.txt "Genotype(normal=[('sep_conv_3x3', 0)")
fails(6 "bad.txt: line 1" inspect bad.txt)
fails(2 "does not exist: none" derive none)
fails(2 "'DARTS_V3' is neither a path nor a published genotype; did you mean DARTS_V" inspect DARTS_V3)
if(EXISTS ${WORK}/none)
  message(SEND_ERROR "a search that failed left a run directory")
endif()

# Of two checkpoints the newest that is whole counts, and the damage is told.
file(COPY ${WORK}/full/ DESTINATION ${WORK}/hurt)
file(COPY_FILE ${WORK}/bad.safetensors ${WORK}/hurt/ckpt/epoch-0002.safetensors)
oche(0 derive hurt)
expect_match("${err}" "^oche: [^\n]*epoch-0002.safetensors.*falling back to hurt/ckpt/epoch-0001.safetensors\n$")
