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

# fails(code regex argument...): it does, with one line on stderr, left in `err`, and nothing on stdout.
function(fails code regex)
  oche(${code} ${ARGN})
  string(REGEX REPLACE "(^|\n)device: cpu[^\n]*\n" "\\1" err "${err}")
  expect_match("${err}" "^oche: [^\n]+\n$")
  expect_match("${err}" "${regex}")
  expect_equal("${out}" "")
  set(err "${err}" PARENT_SCOPE)
endfunction()

# expect_help(command): its --help has a line of purpose, the output options, no line beyond 100 columns, and two
# examples, which run in this order in WORK.
function(expect_help command)
  oche(0 ${command} --help)
  expect_equal("${err}" "")
  expect_match("${out}" "^[A-Z][^\n]+\n\nUsage: oche ${command} ")
  foreach(option -h --json --quiet -v --color)
    expect_match("${out}" "\nOutput:.*\n  (-h, |-v, )?${option}")
  endforeach()
  string(REGEX MATCHALL "[^\n]+" lines "${out}")
  foreach(line IN LISTS lines)
    string(LENGTH "${line}" length)
    if(length GREATER 100)
      message(SEND_ERROR "${command} --help: ${length} columns: ${line}")
    endif()
  endforeach()

  string(REGEX REPLACE "^.*\nExamples[^\n]*:" "" examples "${out}")
  string(REGEX MATCHALL "\n  \\$ oche [^\n]+" examples "${examples}")
  list(LENGTH examples count)
  expect_equal("${command}: ${count} examples" "${command}: 2 examples")
  foreach(example IN LISTS examples)
    separate_arguments(arguments UNIX_COMMAND "${example}")
    list(REMOVE_AT arguments 0 1)  # "$ oche"
    oche(0 ${arguments})
    expect_match("${out}" ".")
  endforeach()
endfunction()

# The names of options that --help of a command shows, as a sorted list.
function(help_names result)
  oche(0 ${ARGN} --help)
  string(REGEX MATCHALL "\n  (-[a-z], )?--[a-z0-9-]+(, --[a-z0-9-]+)*" entries "${out}")
  string(REGEX MATCHALL "--?[a-z][a-z0-9-]*" names "${entries}")
  list(SORT names)
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

# The sub-commands, in the order of --help.
function(command_names result)
  oche(0 --help)
  string(REGEX MATCH "\nCommands:(\n  [^\n]+)+" entries "${out}")
  string(REGEX MATCHALL "\n  [a-z-]+" names "${entries}")
  list(TRANSFORM names STRIP)
  set(${result} "${names}" PARENT_SCOPE)
endfunction()
