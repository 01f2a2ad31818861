# `oche search --resume`: the same bits after signals, full disks and damage; what it refuses.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

# expect_same_run(DIR): ended as `whole` did, byte for byte but for times and the peak of tensors, since with more threads
# kernels take larger workspaces.
function(expect_same_run run)
  foreach(file config.toml genotypes.jsonl genotype.json weights.safetensors ckpt/epoch-0002.safetensors)
    file(SHA256 ${WORK}/whole/${file} expected)
    file(SHA256 ${WORK}/${run}/${file} actual)
    expect_equal("${run}/${file} ${actual}" "${run}/${file} ${expected}")
  endforeach()
  foreach(directory whole ${run})
    file(STRINGS ${WORK}/${directory}/metrics.csv rows)
    list(TRANSFORM rows REPLACE "^(([^,]*,)+)[^,]*,[^,]*,[^,]*$" "\\1")
    set(rows_${directory} "${rows}")
  endforeach()
  expect_equal("${rows_${run}}" "${rows_whole}")
  file(STRINGS ${WORK}/${run}/events.jsonl epochs REGEX "\"type\":\"epoch\"")
  list(LENGTH epochs count)
  expect_equal("${run}: ${count} epochs" "${run}: 2 epochs")
endfunction()

# fails(code regex argument...): one line on stderr that says why, nothing on stdout.
function(fails code regex)
  oche(${code} search --quiet ${ARGN})
  expect_match("${err}" "^oche: [^\n]+\n$")
  expect_match("${err}" "${regex}")
  expect_equal("${out}" "")
endfunction()

# Steps enough for a signal to come between, of some milliseconds each.
set(options --method darts-1st --train-size 320 --layers 3 --channels 2 --steps 1 --batch 4 --epochs 2)
oche(0 search ${options} --threads 2 --out whole --quiet)
set(genotype "${out}")

# interrupted(RUN SIGNAL CODE): a run that a signal ends once it has a checkpoint within an epoch.
function(interrupted run signal code)
  list(JOIN options " " arguments)
  execute_process(
    COMMAND sh -c "'${OCHE}' search ${arguments} --threads 2 --checkpoint-minutes 1e-6 --out ${run} & pid=$!
                   until ls ${run}/ckpt 2>/dev/null | grep -q '^step-.*[1-9].*[.]safetensors$' || ! kill -0 $pid; do sleep 0.01; done
                   kill -${signal} $pid; wait $pid"
    WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE actual)
  expect_equal("${signal}: ${actual}" "${signal}: ${code}")
  expect_equal("${out}" "")
  set(err "${err}" PARENT_SCOPE)
endfunction()

foreach(signal INT\;130\;1 TERM\;143\;3)
  list(GET signal 0 name)
  list(GET signal 1 code)
  list(GET signal 2 threads)
  interrupted(${name} ${name} ${code})
  expect_match("${err}" "stopped after [0-9]+ steps; checkpoint: ${name}/ckpt/step-[0-9]+.safetensors; go on with --resume ${name}\n")
  oche(0 search --resume ${name} --threads ${threads} --keep-every 1 --checkpoint-minutes 0)
  expect_match("${err}" "\ngoing on after 0 epochs, [0-9]+ steps: ${name}/ckpt/step-")
  expect_equal("${out}" "${genotype}")
  expect_same_run(${name})
endforeach()

# A run that has finished has nothing to do, and says its result again.
file(SHA256 ${WORK}/INT/events.jsonl before)
oche(0 search --resume INT --json)
expect_match("${err}" "INT: the run has finished; nothing to do\n")
expect_json("${out}" ON finished)
expect_json("${out}" 80 steps)
string(STRIP "${genotype}" text)
expect_json("${out}" "${text}" genotype_text)
file(SHA256 ${WORK}/INT/events.jsonl after)
expect_equal("${after}" "${before}")

# A kill, a damaged newest checkpoint, and the last line of a file torn.
interrupted(KILL KILL 137)
file(COPY ${WORK}/KILL/ DESTINATION ${WORK}/FULL)
file(GLOB checkpoints ${WORK}/KILL/ckpt/step-*.safetensors)
list(SORT checkpoints ORDER DESCENDING)
list(GET checkpoints 0 newest)
list(GET checkpoints 1 older)
cmake_path(GET newest FILENAME newest)
cmake_path(GET older FILENAME older)
execute_process(COMMAND dd if=/dev/zero of=${newest} bs=1 count=9 seek=60000 conv=notrunc
                WORKING_DIRECTORY ${WORK}/KILL/ckpt ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(APPEND ${WORK}/KILL/events.jsonl "{\"schema\":1,\"ty")
file(WRITE ${WORK}/KILL/ckpt/epoch-0001.safetensors.1-0.oche-tmp "half")
oche(0 search --resume KILL --quiet)
expect_match("${err}" "^oche: KILL/ckpt/${newest}: its SHA-256 is [^\n]*; falling back to KILL/ckpt/${older}\n$")
expect_equal("${out}" "${genotype}")
expect_same_run(KILL)
if(EXISTS ${WORK}/KILL/ckpt/epoch-0001.safetensors.1-0.oche-tmp)
  message(SEND_ERROR "a temporary of a killed writer was left")
endif()

# A save that the file system fails, here because no file may be larger than 80 blocks of 512 bytes, loses nothing.
execute_process(COMMAND sh -c "trap '' XFSZ; ulimit -f 80; '${OCHE}' search --resume FULL --quiet"
                WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE actual)
expect_equal("${actual}" 1)
expect_match("${err}" "^oche: cannot write 'FULL/ckpt/epoch-0001.safetensors[^\n]*: File too large; when that is mended, go on with --resume FULL\n$")
expect_equal("${out}" "")
oche(0 search --resume FULL --quiet)
expect_equal("${out}" "${genotype}")
expect_same_run(FULL)

# What may differ, and what may not.
fails(2 "--epochs: '3' would change the run, which has '2'; leave it out, or start another" --resume INT --epochs 3)
fails(2 "--set network.steps: '4' would change" --resume INT --set network.steps=4)
set(ENV{OCHE_SEED} 1)
fails(2 "OCHE_SEED: '1' would change the run, which has '0'" --resume INT)
unset(ENV{OCHE_SEED})
file(WRITE ${WORK}/other.toml "[weights]\nlr = 0.1\n")
fails(2 "other.toml:2:6: weights.lr: '0.1' would change the run, which has '0.025'" --resume INT --config other.toml)
oche(0 search --resume INT --config INT/config.toml --epochs 2 --data elsewhere --threads 1 --device cpu --keep-every 3
     --checkpoint-minutes 1 --quiet)
fails(2 "search: --out excludes --resume" --resume INT --out INT)
fails(2 "search: --force excludes --resume" --resume INT --force)
fails(2 "search: --init excludes --resume" --resume INT --init INT/weights.safetensors)
fails(2 "--checkpoint-minutes: -1 is not allowed; expected 0 \\(none\\) or more" ${TINY} --checkpoint-minutes -1)

# Where there is nothing to go on with.
fails(2 "--resume: [^\n]*does not exist: nowhere" --resume nowhere)
file(MAKE_DIRECTORY ${WORK}/empty)
fails(2 "--resume: 'empty' has no checkpoint, so nothing was begun; use --out" --resume empty)
file(GLOB checkpoints ${WORK}/TERM/ckpt/*.safetensors)
foreach(checkpoint IN LISTS checkpoints)
  file(WRITE ${checkpoint} "short")
endforeach()
oche(6 search --resume TERM --quiet)
expect_match("${err}" "^oche: TERM/ckpt/epoch-0002.safetensors: [^\n]*falling back[^\n]*\noche: TERM/ckpt/epoch-0001.safetensors: [^\n]*\n$")
expect_equal("${out}" "")
