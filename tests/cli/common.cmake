# For scripts that drive the built binary: cmake -D OCHE=<binary> -D WORK=<folder to fill> -P script.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -E environment OUTPUT_VARIABLE environment)
string(REGEX MATCHALL "OCHE_[A-Z0-9_]+" variables "${environment}")
foreach(variable IN LISTS variables)
  unset(ENV{${variable}})
endforeach()

# Seconds each, some more under sanitizers. SMALL has two reductions, two epochs of two steps.
set(SMALL --train-size 32 --layers 3 --channels 2 --steps 2 --batch 8 --epochs 2)
set(TINY --train-size 16 --layers 1 --channels 2 --steps 1 --batch 8 --epochs 1)

# oche(code argument...): runs it in WORK, expects the exit code, leaves stdout and stderr in `out` and `err`.
function(oche code)
  execute_process(COMMAND ${OCHE} ${ARGN} WORKING_DIRECTORY ${WORK}
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE actual)
  if(NOT actual STREQUAL code)
    list(JOIN ARGN " " arguments)
    message(FATAL_ERROR "oche ${arguments}: exit ${actual}, expected ${code}\n${out}\n${err}")
  endif()
  set(out "${out}" PARENT_SCOPE)
  set(err "${err}" PARENT_SCOPE)
endfunction()

function(expect_match text regex)
  if(NOT "${text}" MATCHES "${regex}")
    message(SEND_ERROR "expected ${regex} in\n${text}")
  endif()
endfunction()

function(expect_equal actual expected)
  if(NOT "${actual}" STREQUAL "${expected}")
    message(SEND_ERROR "expected\n${expected}\nfound\n${actual}")
  endif()
endfunction()

function(expect_exists)
  foreach(path IN LISTS ARGN)
    if(NOT EXISTS ${WORK}/${path})
      message(SEND_ERROR "${path} is missing")
    endif()
  endforeach()
endfunction()

# expect_json(document expected key...): the member reached by the keys.
function(expect_json document expected)
  string(JSON value ERROR_VARIABLE error GET "${document}" ${ARGN})
  if(error)
    message(SEND_ERROR "${ARGN}: ${error}\n${document}")
  endif()
  expect_equal("${value}" "${expected}")
endfunction()
