# Fails when an #include in ROOT goes up or sideways: cmake -D ROOT=<project> -P layering.cmake
#   kernels < engine < nas < {tools, tests, benchmarks, docs}; benchmarks may also use tests/support and what the
#   programs of the command line share, tests may use benchmarks, and tests/fuzz the readers of the command line.
# and when a CUDA source goes past the macros that let it run on the host, or a file has more than 400 lines.
# Quoted paths start at the project root, so that each include names its floor.
cmake_minimum_required(VERSION 3.25)

set(kernels_sees "kernels/")
set(engine_sees "${kernels_sees}|engine/")
set(nas_sees "${engine_sees}|nas/")
set(tools_sees "${nas_sees}|tools/")
set(tests_sees "${nas_sees}|tests/|benchmarks/")
set(command_line "tools/(bench_options|command_line|console|device_option|exit_code|json_output|suggest)\\.h")
set(benchmarks_sees "${nas_sees}|benchmarks/|tests/support/|${command_line}")
set(fuzz_sees "${tests_sees}|tools/(config_file|exit_code)\\.h")
set(docs_sees "${nas_sees}|docs/")

set(cuda_headers "cuda|cublas|cudnn|curand|cub/|thrust/|cooperative_groups|nccl|nvrtc|nvtx|mma\\.h|driver_types|vector_types")
set(cuda_may "^(kernels/cuda|tests)/")
set(text_headers "nlohmann/|toml")  # kernels read no files

# tests/ is on the path of the programs that run kernels on the host: <cuda_host/model.h> goes up as well. `cuda/` is
# also a folder of the toolkit's.
file(GLOB test_folders RELATIVE ${ROOT}/tests LIST_DIRECTORIES true ${ROOT}/tests/*)
list(FILTER test_folders EXCLUDE REGEX "\\.")
list(JOIN test_folders "|" test_folders)

# What the kernels include of the model stands in place of <cuda_runtime.h>, in one file.
set(model_file kernels/cuda/device.cuh)
set(model_header cuda_host/model.h)
set(model_include "#ifdef OCHE_CUDA_HOST\n#include <${model_header}>\n#else\n#include <cuda_runtime.h>\n#endif\n")

set(violations "")
set(files_seen 0)
foreach(floor kernels engine nas tools tests benchmarks docs)
  file(GLOB_RECURSE files RELATIVE ${ROOT}
       ${ROOT}/${floor}/*.h ${ROOT}/${floor}/*.cpp ${ROOT}/${floor}/*.cu ${ROOT}/${floor}/*.cuh)
  foreach(file IN LISTS files)
    math(EXPR files_seen "${files_seen} + 1")
    file(READ ${ROOT}/${file} text)
    string(REGEX REPLACE "[^\n]" "" newlines "${text}")
    string(LENGTH "${newlines}" lines)
    if(lines GREATER 400)
      list(APPEND violations "${file}: ${lines} lines: beyond 400 there is a second concept to be found")
    endif()
    if(file MATCHES "\\.cuh?$" AND NOT file STREQUAL "kernels/cuda/device.cuh")
      file(STRINGS ${ROOT}/${file} raw REGEX "__shared__|<<<")
      foreach(line IN LISTS raw)
        list(APPEND violations "${file}: ${line}: CU_SHARED and CU_LAUNCH (kernels/cuda/device.cuh) also run on the host")
      endforeach()
    endif()
    file(STRINGS ${ROOT}/${file} includes REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
    foreach(line IN LISTS includes)
      string(REGEX MATCH "([<\"])([^>\"]+)[>\"]" unused "${line}")
      set(quote "${CMAKE_MATCH_1}")
      set(header "${CMAKE_MATCH_2}")
      set(reason "")
      set(path "${header}")  # from the project root, where the header is ours
      if(test_folders AND header MATCHES "^(${test_folders})/" AND
         (NOT header MATCHES "^cuda/" OR EXISTS ${ROOT}/tests/${header}))
        set(path "tests/${header}")
      endif()
      if("${file}:${header}" STREQUAL "${model_file}:${model_header}")
        string(FIND "${text}" "${model_include}" at)
        if(at EQUAL -1)
          set(reason "only with OCHE_CUDA_HOST, in place of <cuda_runtime.h>")
        endif()
      elseif(header STREQUAL path AND header MATCHES "^(${cuda_headers})" AND NOT file MATCHES "${cuda_may}")
        set(reason "CUDA headers belong under kernels/cuda")
      elseif(floor STREQUAL "kernels" AND header MATCHES "^(${text_headers})")
        set(reason "kernels know no file formats")
      elseif(path MATCHES "^(kernels|engine|nas|tools|tests|benchmarks|docs)/" OR quote STREQUAL "\"")
        set(sees "${${floor}_sees}")
        if(file MATCHES "^tests/fuzz/")
          set(sees "${fuzz_sees}")
        endif()
        if(NOT path MATCHES "^(${sees}|oche/)")
          set(reason "${floor} may include ${sees}")
        endif()
      endif()
      if(reason)
        list(APPEND violations "${file}: ${header}: ${reason}")
      endif()
    endforeach()
  endforeach()
endforeach()

if(files_seen EQUAL 0)
  message(FATAL_ERROR "layering: no sources under '${ROOT}'")
elseif(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "layering:\n  ${violations}")
endif()
message(STATUS "layering: ${files_seen} files, no violation")
