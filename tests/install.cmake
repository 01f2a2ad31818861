# Installs BUILD into WORK, runs what was installed, builds and runs a project outside that finds it:
#   cmake -D BUILD=<build folder> -D WORK=<folder to fill> -D CXX=<compiler> -D GENERATOR=<CMake's> -P install.cmake
cmake_minimum_required(VERSION 3.25)

set(prefix ${WORK}/prefix)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

# run(command...): fails unless it succeeds; its stdout is left in `out`.
macro(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${ARGN}: ${failed}\n${out}\n${err}")
  endif()
endmacro()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
file(GLOB_RECURSE installed RELATIVE ${prefix} ${prefix}/*)
foreach(path IN ITEMS bin/oche share/bash-completion/completions/oche share/zsh/site-functions/_oche
                      share/fish/vendor_completions.d/oche.fish include/oche/engine/tensor.h include/oche/kernels/context.h)
  if(NOT path IN_LIST installed)
    message(SEND_ERROR "not installed: ${path}")
  endif()
endforeach()
foreach(path IN LISTS installed)
  if(NOT path MATCHES "^(bin/oche(-bench)?$|share/|include/oche/(engine|kernels|nas)/[^ ]*\\.h$|lib[^ ]*/(liboche_|cmake/oche/|glibc-hwcaps/x86-64-v[34]/liboche_))")
    message(SEND_ERROR "installed without need: ${path}")
  endif()
endforeach()

# Nothing may come from the build folder.
run(${prefix}/bin/oche doctor --json)
string(JSON doctor GET "${out}" kernels_built_for)
run(ldd ${prefix}/bin/oche)
if(NOT out MATCHES "liboche_kernels.so => ${prefix}/")
  message(SEND_ERROR "the installed program uses other kernels:\n${out}")
endif()
run(${prefix}/bin/oche search --train-size 16 --layers 1 --channels 2 --steps 1 --batch 8 --epochs 1 --quiet)

file(COPY ${CMAKE_CURRENT_LIST_DIR}/install/ DESTINATION ${WORK}/outside)
run(${CMAKE_COMMAND} -S outside -B outside/build -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_PREFIX_PATH=${prefix}
                     -D CMAKE_BUILD_TYPE=Debug)
run(${CMAKE_COMMAND} --build outside/build)
run(outside/build/outside)
set(expected "16: 1 2 1 2 4 2 1 2 1\n8 edges, read back\n${doctor}\n")
if(NOT out STREQUAL expected)
  message(SEND_ERROR "expected\n${expected}\nfound\n${out}")
endif()
