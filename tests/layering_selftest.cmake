# Plants one include at a time into a small tree under WORK and checks layering.cmake's verdict on it:
# cmake -D WORK=<folder> -P layering_selftest.cmake
cmake_minimum_required(VERSION 3.25)

set(failures "")

function(expect verdict file include)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/kernels/context.h "#include <vector>\n")
  file(WRITE ${WORK}/engine/tensor.h "#include \"kernels/context.h\"\n#include <nlohmann/json.hpp>\n")
  file(WRITE ${WORK}/tools/main.cpp "#include \"nas/genotype.h\"\n#include \"oche/version.h\"\n")
  file(WRITE ${WORK}/${file} "// A planted file.\n  #  include ${include}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -D ROOT=${WORK} -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/layering.cmake
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  string(FIND "${output}" "${file}" named)
  if((verdict STREQUAL "refuse" AND (result EQUAL 0 OR named EQUAL -1)) OR
     (verdict STREQUAL "accept" AND NOT result EQUAL 0))
    set(failures "${failures}\n  expected to ${verdict}: ${file} with ${include}; got ${result} ${output}" PARENT_SCOPE)
  endif()
endfunction()

expect(accept kernels/cpu/gemm.cpp "\"kernels/context.h\"")
expect(refuse kernels/cpu/gemm.cpp "\"engine/tensor.h\"")
expect(refuse kernels/cpu/gemm.cpp "<nlohmann/json.hpp>")
expect(refuse kernels/cpu/gemm.cpp "<cuda_runtime.h>")
expect(accept kernels/cuda/gemm.cu "<cuda_runtime.h>")
expect(refuse engine/ops/view.cpp "\"nas/genotype.h\"")
expect(refuse engine/ops/view.cpp "<nas/genotype.h>")
expect(refuse engine/ops/view.cpp "\"../nas/genotype.h\"")
expect(refuse engine/ops/view.cpp "\"view.h\"")
expect(refuse engine/ops/view.cpp "<cublas_v2.h>")
expect(accept nas/search.h "\"engine/nn.h\"")
expect(refuse nas/search.h "\"tools/console.h\"")
expect(refuse tools/search.cpp "\"tests/support/reference.h\"")
expect(refuse tests/test_cli.cpp "\"tools/console.h\"")
expect(accept tests/cuda/host_model.h "<cuda_runtime_api.h>")
expect(accept benchmarks/cell.cpp "\"tests/support/reference.h\"")
expect(refuse benchmarks/cell.cpp "\"tests/data/table.h\"")
expect(refuse docs/snippet.cpp "\"tests/support/reference.h\"")

file(REMOVE_RECURSE ${WORK})
if(failures)
  message(FATAL_ERROR "layering_selftest:${failures}")
endif()
