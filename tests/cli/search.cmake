# `oche search`: what it leaves and prints, where settings come from, same bits, signals.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

function(expect_same_file a b)
  file(SHA256 ${WORK}/${a} hash_a)
  file(SHA256 ${WORK}/${b} hash_b)
  expect_equal("${b} ${hash_b}" "${b} ${hash_a}")
endfunction()

# The run directory.
oche(0 search ${SMALL} --threads 1 --out first)
expect_exists(first/config.toml first/env.json first/metrics.csv first/events.jsonl first/genotypes.jsonl
              first/genotype.json first/genotype.txt first/weights.safetensors first/report.html
              first/ckpt/epoch-0001.safetensors first/ckpt/epoch-0002.safetensors)
file(GLOB pictures ${WORK}/first/normal.* ${WORK}/first/reduce.*)
list(LENGTH pictures count)
expect_equal("${count} pictures" "2 pictures")
file(READ ${WORK}/first/genotype.txt genotype)
expect_equal("${out}" "${genotype}")
expect_match("${genotype}" "^Genotype\\(normal=.*normal_concat=range\\(2, 4\\).*\\)\n$")
expect_match("${err}" "device: cpu \\(auto;.*epoch 1/2.*epoch 2/2.*gap.*skips")
string(ASCII 27 escape)
if(err MATCHES "${escape}|\r")
  message(SEND_ERROR "stderr is no terminal, but has control codes")
endif()
oche(0 derive first)
expect_equal("${out}" "${genotype}")

# Same bits with other threads, from its own configuration file, and in place of a former run.
oche(0 search --config first/config.toml --threads 3 --out second --json --quiet)
expect_equal("${err}" "")
expect_match("${out}" "^{.*}\n$")
expect_json("${out}" ON finished)
expect_json("${out}" 4 steps)
expect_json("${out}" second run_directory)
string(STRIP "${genotype}" text)
expect_json("${out}" "${text}" genotype_text)
expect_json("${out}" darts-cnn genotype space)
foreach(key train_accuracy search_accuracy discrete_accuracy seconds)
  string(JSON type TYPE "${out}" ${key})
  expect_equal("${key} ${type}" "${key} NUMBER")
endforeach()
foreach(file config.toml genotypes.jsonl genotype.json weights.safetensors)
  expect_same_file(first/${file} second/${file})
endforeach()
oche(0 search ${SMALL} --epochs 1 --seed 1 --out second --force)
file(STRINGS ${WORK}/first/genotypes.jsonl before LIMIT_COUNT 1)
file(STRINGS ${WORK}/second/genotypes.jsonl after LIMIT_COUNT 1)
if(before STREQUAL after)
  message(SEND_ERROR "another seed gave the same alphas")
endif()

# Defaults < preset < file < environment < --set < flags, each seen where it is the highest.
file(WRITE ${WORK}/search.toml [[
[weights]
lr = 0.1
lr-min = 1e-4
decay = 0.1
momentum = 0.1
[gradient]
name = "finite-difference"
]])
set(ENV{OCHE_LR} 0.2)
set(ENV{OCHE_LR_MIN} 0.0002)
set(ENV{OCHE_WEIGHT_DECAY} 0.2)
set(ENV{OCHE_METHOD} darts-1st)
oche(0 search ${TINY} --config search.toml --set weights.lr=0.3 --set weights.decay=0.3 --lr 0.4 --no-augment
     --init second/weights.safetensors --layers 3 --steps 2 --out merged)
foreach(variable LR LR_MIN WEIGHT_DECAY METHOD)
  unset(ENV{OCHE_${variable}})
endforeach()
file(READ ${WORK}/merged/config.toml config)
foreach(line "method = \"darts-1st\"" "name = \"finite-difference\"" "momentum = 0.1" "lr-min = 0.0002" "decay = 0.3"
             "lr = 0.4" "grad-clip = 5.0" "augment = false" "multiplier = 2")
  expect_match("${config}" "\n?${line}\n")
endforeach()
oche(0 search ${TINY} --method darts-1st --dtype f64)  # and the default directory
file(READ ${WORK}/runs/darts-1st-patterns-seed0/config.toml config)
expect_match("${config}" "name = \"first-order\"")
expect_match("${config}" "dtype = \"f64\"")

# Fused cells are the default, need less memory than small ops, and find the same.
set(small ${TINY} --method darts-1st --dtype f64 --quiet)
oche(0 search ${small} --out fused)
set(genotype "${out}")
oche(0 search ${small} --no-fuse --out not_fused)
expect_equal("${out}" "${genotype}")
foreach(run fused not_fused)
  file(STRINGS ${WORK}/${run}/metrics.csv rows)
  list(GET rows 1 row)
  string(REGEX MATCH "[0-9]+$" peak_${run} "${row}")
  file(STRINGS ${WORK}/${run}/config.toml line REGEX "^fuse = ")
  list(APPEND lines "${line}")
endforeach()
expect_equal("${lines}" "fuse = true;fuse = false")
if(NOT peak_fused LESS peak_not_fused)
  message(SEND_ERROR "fused ${peak_fused} bytes, not fused ${peak_not_fused}")
endif()

# A dry run needs no data and leaves nothing.
oche(0 search --dataset cifar10 --data none --dry-run --json --out dry)
expect_json("${out}" 1930618 weights)
expect_json("${out}" 224 alphas)
expect_json("${out}" 19500 steps)
foreach(key macs_per_image tensor_bytes peak_resident_bytes)
  string(JSON value GET "${out}" ${key})
  if(NOT value GREATER 1000000)
    message(SEND_ERROR "${key}: ${value}")
  endif()
endforeach()
if(EXISTS ${WORK}/dry)
  message(SEND_ERROR "a dry run created its run directory")
endif()

# What it foretells is what the process then takes, within 5 %.
if(NOT SANITIZED)
  set(sized --train-size 128 --layers 3 --channels 8 --batch 32 --epochs 1 --method darts-1st)
  oche(0 search ${sized} --dry-run --json)
  string(JSON foretold GET "${out}" peak_resident_bytes)
  oche(0 search ${sized} --out sized --json --quiet)
  string(JSON taken GET "${out}" peak_resident_bytes)
  math(EXPR percent "100 * ${foretold} / ${taken}")
  if(percent LESS 95 OR percent GREATER 104)
    message(SEND_ERROR "foretold ${foretold} bytes, taken ${taken}")
  endif()
endif()

# search_with_signals(NAME COMMANDS): a search that the shell COMMANDS interrupt after its first epoch.
macro(search_with_signals name commands)
  list(JOIN TINY " " arguments)
  execute_process(
    COMMAND sh -c "'${OCHE}' search ${arguments} --epochs 100000 --out ${name} --json & pid=$!
                   until test -e ${name}/ckpt/epoch-0001.safetensors || ! kill -0 $pid; do sleep 0.1; done
                   ${commands}; wait $pid"
    WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE actual)
  file(GLOB checkpoint ${WORK}/${name}/ckpt/step-*[1-9]*.safetensors)
endmacro()

# A signal ends the search after its step, with a checkpoint.
foreach(signal "INT;130" "TERM;143")
  list(GET signal 0 name)
  list(GET signal 1 code)
  search_with_signals(${name} "kill -${name} $pid")
  expect_equal("${name}: ${actual}" "${name}: ${code}")
  expect_json("${out}" OFF finished)
  expect_match("${checkpoint}" "step-[0-9]+.safetensors$")
  oche(0 derive ${checkpoint})
  oche(0 inspect ${name})
  expect_match("${out}" "state +interrupted")
endforeach()

# A second one ends it at once, without.
search_with_signals(twice "kill -INT $pid; kill -TERM $pid")
expect_match("${actual}" "^(130|143)$")
expect_equal("${out}" "")
expect_equal("${checkpoint}" "")
