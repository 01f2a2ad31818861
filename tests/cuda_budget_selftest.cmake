# What scripts/cuda_budget.sh says of the output of ptxas in tests/data/cuda_budget, for budgets with one thing wrong:
# cmake -D ROOT=<project> -D WORK=<folder> -P cuda_budget_selftest.cmake
cmake_minimum_required(VERSION 3.25)

set(budget ${WORK}/budget.txt)
set(failures "")

function(run)
  execute_process(COMMAND ${ROOT}/scripts/cuda_budget.sh ${ARGN} --budget ${budget}
                          --outputs ${ROOT}/tests/data/cuda_budget
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  set(result ${result} PARENT_SCOPE)
  set(output "${output}${errors}" PARENT_SCOPE)
endfunction()

# expect(what code line...): the last run ended with that code and said each of the lines, and no other.
function(expect what code)
  list(JOIN ARGN "\n" wanted)
  if(NOT result EQUAL code OR NOT output STREQUAL "${wanted}\n")
    set(failures "${failures}\n  ${what}: expected ${code}\n${wanted}\n  got ${result}\n${output}" PARENT_SCOPE)
  endif()
endfunction()

# planted(from to): the good budget with `from`, a regular expression, made `to`, checked.
macro(planted from to)
  string(REGEX REPLACE "${from}" "${to}" text "${good}")
  if(text STREQUAL good)
    string(APPEND failures "\n  '${from}' is not in the budget")
  endif()
  file(WRITE ${budget} "${text}")
  run()
endmacro()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(tile "sample/tile_kernel<true,double>")
set(held "sample/held_kernel")
set(map "sample/map_kernel<kExp,float>")
set(spilled "${tile}: 1248 bytes of spill stores, 1464 of loads, and no line `spills KERNEL REASON`")
set(how_much "${held}: dynamic shared memory, and no line `dynamic KERNEL BYTES`")

run()
expect("no budget" 1 "cuda_budget.sh: no ${budget} (--update writes it)")
run(--update)
expect("a new budget" 1 "${how_much}" "${spilled}")

# What a person writes survives; the figures are those of the recorded output.
file(APPEND ${budget} "spills sample/tile_kernel 48 values a thread\ndynamic ${held} 150000\n")
run(--update)
expect("a full budget" 0 "3 kernels within the budget")
file(READ ${budget} good)
foreach(line IN ITEMS
        "spills sample/tile_kernel 48 values a thread"
        "       32   8192   1248  1464  1008   512      100% ${tile}"
        "       10 150000      0     0     0  1024       50% ${held}")
  string(FIND "${good}" "\n${line}\n" at)
  if(at EQUAL -1)
    string(APPEND failures "\n  '${line}' is not in\n${good}")
  endif()
endforeach()
run()
expect("the budget just written" 0 "3 kernels within the budget")
run(--update)
file(READ ${budget} again)
if(NOT again STREQUAL good)
  string(APPEND failures "\n  --update changed\n${good}to\n${again}")
endif()

# More than recorded.
planted(" 32   8192 " " 31   8192 ")
expect("registers" 1 "${tile}: 32 registers, recorded 31")
planted("   8192   1248  1464  1008 " "   8188   1240  1456  1000 ")
expect("memory" 1
       "${tile}: 8192 bytes of shared memory, recorded 8188" "${tile}: 1248 bytes of spill stores, recorded 1240"
       "${tile}: 1464 bytes of spill loads, recorded 1456" "${tile}: 1008 bytes of stack, recorded 1000")
planted(" 1024       50% " "  512       75% ")
expect("occupancy" 1 "${held}: occupancy 50%, recorded 75%")
# Less is no fault.
planted(" 32   8192 " " 40   8192 ")
set(less "less than the budget is enough for 1 kernels (--update lowers it)")
expect("fewer registers" 0 "${less}" "3 kernels within the budget")
# Kernels and reasons that are missing, or too many.
planted("\n[^\n]*${held}\n" "\n")
expect("a line lost" 1 "${held}: not in the budget")
planted("(\n[^\n]*)${held}\n" "\\\\1${held}\\\\1sample/gone_kernel<float>\n")
expect("a kernel gone" 1 "sample/gone_kernel<float>: in the budget, but no such kernel")
planted("spills sample/tile_kernel[^\n]*" "")
expect("a spill without a reason" 1 "${spilled}")
planted("spills sample/tile_kernel[^\n]*" "spills sample/tile_kernel")
expect("an empty reason" 1 "${spilled}")
planted("spills sample/tile_kernel" "spills sample/tile")
expect("a reason for another name" 1 "${spilled}" "sample/tile: a reason for no kernel")
planted("spills sample/tile_kernel" "occupancy sample/tile_kernel")
expect("a reason for another thing" 1 "${spilled}")
planted("dynamic ${held} [^\n]*\n" "")
expect("dynamic shared memory of unknown size" 1 "${how_much}" "${less}")
planted("dynamic ${held} " "dynamic sample/map_kernel 100000\ndynamic ${held} ")
expect("below half without a reason" 1
       "${map}: 8 registers, occupancy 25%, and no line `occupancy KERNEL REASON`"
       "${map}: 100000 bytes of shared memory, recorded 0" "${map}: occupancy 25%, recorded 100%")
planted("dynamic ${held} " "dynamic sample/map_kernel 100000\noccupancy sample/map_kernel of no matter\ndynamic ${held} ")
expect("more than recorded, with a reason" 1
       "${map}: 100000 bytes of shared memory, recorded 0" "${map}: occupancy 25%, recorded 100%")

file(REMOVE_RECURSE ${WORK})
if(failures)
  message(FATAL_ERROR "cuda_budget_selftest:${failures}")
endif()
