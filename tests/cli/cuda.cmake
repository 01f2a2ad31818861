# A search on a CUDA device, by the built command line. MODEL: the library of the execution model, put in the place of the
# one for devices; empty where the program has it anyway. CUBLAS: the major version of cuBLAS, empty where there is no header of it.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)
set(ENV{CUDA_VISIBLE_DEVICES} 0)
if(MODEL)
  set(OCHE env LD_PRELOAD=${MODEL} ${OCHE})  # which takes its place, so that a signal reaches it
endif()

# What a run leaves that says nothing of time.
function(expect_same run other)
  foreach(file genotypes.jsonl genotype.json weights.safetensors)
    file(SHA256 ${WORK}/${run}/${file} expected)
    file(SHA256 ${WORK}/${other}/${file} actual)
    expect_equal("${other}/${file} ${actual}" "${other}/${file} ${expected}")
  endforeach()
endfunction()

oche(0 search ${TINY} --device cuda --out first --quiet)
set(genotype "${out}")
oche(0 search ${TINY} --out second)  # auto takes the device, and says so
expect_match("${err}" "device: cuda:0 .auto; ")
expect_same(first second)
oche(0 search ${TINY} --device cpu --out cpu --quiet)
expect_equal("${out}" "${genotype}")
file(READ ${WORK}/first/env.json environment)
expect_match("${environment}" "\"device\": \"[^\"]+ .compute capability [0-9.]+.\"")
if(CUBLAS)  # whose last bits are others than ours
  expect_match("${environment}" "\"libraries\": {[^}]*\"cuBLAS\": \"${CUBLAS}[.][0-9.]+\"")
endif()

# The first losses of both, as far as six digits.
foreach(run first cpu)
  file(STRINGS ${WORK}/${run}/metrics.csv rows)
  list(GET rows 1 row)
  string(REGEX MATCH "^1,[^,]+,[0-9]\\.[0-9][0-9][0-9][0-9]" losses_${run} "${row}")
endforeach()
expect_equal("${losses_first}" "${losses_cpu}")

# A run that goes on elsewhere says so.
list(JOIN TINY " " arguments)
list(JOIN OCHE " " program)
execute_process(
  COMMAND sh -c "${program} search ${arguments} --epochs 9 --device cuda --checkpoint-minutes 1e-6 --out moved --quiet & pid=$!
                 until ls moved/ckpt 2>/dev/null | grep -q '^step-.*[1-9].*[.]safetensors$' || ! kill -0 $pid; do sleep 0.01; done
                 kill -INT $pid; wait $pid"
  WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE actual)
expect_equal("${actual}" 130)
oche(0 search --resume moved --device cpu)
expect_match("${err}" "not what the run was started with: device")
expect_exists(moved/genotype.json)

oche(0 search ${TINY} --device cuda --dry-run)
expect_match("${out}" "device memory +[0-9.]+ MiB")
oche(0 search ${TINY} --device cuda --dry-run --json)
string(JSON bytes GET "${out}" peak_device_bytes)
if(NOT bytes GREATER 0)
  message(SEND_ERROR "peak_device_bytes: ${bytes}")
endif()
fails(4 "--device cuda:7: there are [0-9]+ CUDA devices, from 0; use --device cpu" search --device cuda:7)
