# Runs TESTS with the copy KERNELS of the kernels library, which says that it is VARIANT. Skipped where the processor
# cannot run it.
file(READ /proc/cpuinfo processor)
if(VARIANT STREQUAL "x86-64-v4" AND NOT processor MATCHES "avx512vl")
  message("SKIP: this processor has no AVX-512")
  return()
endif()
foreach(test IN LISTS TESTS)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_PRELOAD=${KERNELS} OCHE_EXPECTED_KERNELS=${VARIANT} ${test}
                  COMMAND_ERROR_IS_FATAL ANY)
endforeach()
