# --help and --version.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

oche(0 --version)
expect_match("${out}" "^oche [0-9]+\\.[0-9]+\\.[0-9]+ \\([^)]+\\)\ncompiler [^\n]+\nCUDA (no|yes \\([0-9.]+\\))\narchitectures [^\n]+\n$")

command_names(commands)
expect_equal("${commands}" "search;methods;derive;inspect;report;bench;gradient-error;hessian;doctor;completion")

list(REMOVE_ITEM commands bench)  # a program of its own: bench.cmake
foreach(command IN LISTS commands)
  expect_help(${command})
endforeach()

# Every setting shows its default and its key.
oche(0 search --help)
string(REGEX REPLACE "\n +" " " unwrapped "${out}")
foreach(setting "--seed N [^[]+\\[0\\] \\(seed\\)" "--lr X [^[]+\\[0.025\\] \\(weights.lr\\)"
                "--no-augment [^[]+\\[true\\] \\(data.augment\\)" "--dataset NAME [^[]+patterns, cifar10, [^[]+, arrays \\[patterns\\]"
                "--no-flip [^[]+\\[by data set\\] \\(data.flip\\)"
                "gradient.radius: [^[]+\\[0.01\\]")
  expect_match("${unwrapped}" "${setting}")
endforeach()

# Colour only where it is asked for.
oche(2 search --color always --lr x)
string(ASCII 27 escape)
expect_match("${err}" "^${escape}\\[31m")
oche(2 search --lr x)
expect_match("${err}" "^oche: --lr")
