# --help, --version, and the examples that --help shows.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

oche(0 --version)
expect_match("${out}" "^oche [0-9]+\\.[0-9]+\\.[0-9]+ \\([^)]+\\)\ncompiler [^\n]+\nCUDA no\narchitectures [^\n]+\n$")

oche(0 --help)
string(REGEX MATCH "Commands:\n(.*)\n\n" unused "${out}")
string(REGEX MATCHALL "\n  [a-z-]+" commands "\n${CMAKE_MATCH_1}")
list(TRANSFORM commands STRIP)
expect_equal("${commands}" "search;derive;inspect;doctor")

foreach(command IN LISTS commands)
  oche(0 ${command} --help)
  expect_equal("${err}" "")
  expect_match("${out}" "^[A-Z][^\n]+\n\nUsage: oche ${command} ")  # one line of purpose
  foreach(option -h --json --quiet -v --color)
    expect_match("${out}" "\nOutput:.*\n  (-h, |-v, )?${option}")
  endforeach()
  string(REPLACE "\\\n" "\n" unbroken "${out}")  # a backslash would join two entries of a list
  string(REGEX MATCHALL "[^\n]+" lines "${unbroken}")
  foreach(line IN LISTS lines)
    string(LENGTH "${line}" length)
    if(length GREATER 100)
      message(SEND_ERROR "${command} --help: ${length} columns: ${line}")
    endif()
  endforeach()

  # Each example runs, in this order, in one folder.
  string(REGEX REPLACE "^.*\nExamples[^\n]*:" "" examples "${out}")
  string(REPLACE "\\\n" "" examples "${examples}")
  string(REGEX MATCHALL "\n  oche [^\n]+" examples "${examples}")
  list(LENGTH examples count)
  expect_equal("${command}: ${count} examples" "${command}: 2 examples")
  foreach(example IN LISTS examples)
    separate_arguments(arguments UNIX_COMMAND "${example}")
    list(POP_FRONT arguments)
    oche(0 ${arguments})
    expect_match("${out}" ".")
  endforeach()
endforeach()

# Every setting shows its default and its key.
oche(0 search --help)
string(REGEX REPLACE "\n +" " " unwrapped "${out}")
foreach(setting "--seed N [^[]+\\[0\\] \\(seed\\)" "--lr X [^[]+\\[0.025\\] \\(weights.lr\\)"
                "--no-augment [^[]+\\[true\\] \\(data.augment\\)" "--dataset NAME [^[]+patterns, cifar10 \\[patterns\\]"
                "gradient.radius: [^[]+\\[0.01\\]")
  expect_match("${unwrapped}" "${setting}")
endforeach()

# Colour only where it is asked for.
oche(2 search --color always --lr x)
string(ASCII 27 escape)
expect_match("${err}" "^${escape}\\[31m")
oche(2 search --lr x)
expect_match("${err}" "^oche: --lr")
