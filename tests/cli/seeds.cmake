# `oche search --seeds`: the runs of several seeds, their spread, and what an interruption leaves.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

# expect_same(a b): two runs ended alike.
function(expect_same a b)
  foreach(file config.toml genotypes.jsonl genotype.json weights.safetensors)
    file(SHA256 ${WORK}/${a}/${file} expected)
    file(SHA256 ${WORK}/${b}/${file} actual)
    expect_equal("${b}/${file} ${actual}" "${b}/${file} ${expected}")
  endforeach()
endfunction()

# Steps enough for a signal to come between, of some milliseconds each.
set(options --method darts-1st --train-size 320 --layers 2 --channels 2 --steps 1 --batch 4 --epochs 2 --seed 5)

# Each is the run that its seed has alone; the best by search accuracy counts.
oche(0 search ${options} --seeds 2 --out study)
expect_match("${err}" "seed 5, 1 of 2\n.*seed 6, 2 of 2\n.*train accuracy +search accuracy +derived accuracy +train loss +search loss\nseed 5 [^\n]*\nseed 6 [^\n]*\nmean [^\n]*\nstandard deviation [^\n]*\nn ( +2)+\nbest [^\n]*\nbest search accuracy: study/seed[56]\n")
oche(0 search ${options} --seed 6 --out alone --quiet)
expect_same(alone study/seed6)
file(READ ${WORK}/study/seeds.json document)
expect_json("${document}" ON finished)
string(JSON best GET "${document}" best_seed)
oche(0 derive study/seed${best})
set(genotype "${out}")
foreach(i 0 1)
  string(JSON accuracy_${i} GET "${document}" runs ${i} search_accuracy)
  math(EXPR seed "5 + ${i}")
  expect_json("${document}" ${seed} runs ${i} seed)
  expect_json("${document}" study/seed${seed} runs ${i} run_directory)
  oche(0 inspect study/seed${seed} --json)
  expect_json("${out}" ${accuracy_${i}} accuracies search)
endforeach()
set(expected 5)
set(highest ${accuracy_0})
if(accuracy_1 GREATER accuracy_0)
  set(expected 6)
  set(highest ${accuracy_1})
endif()
expect_equal("${best}" "${expected}")
expect_json("${document}" ${highest} spread search_accuracy best)
string(JSON keys LENGTH "${document}" spread)
expect_equal("${keys} figures" "5 figures")
foreach(figure train_accuracy search_accuracy discrete_accuracy train_loss search_loss)
  # In this order, which the parser of CMake does not keep.
  expect_match("${document}" "\"${figure}\": *{[^}]*\"mean\"[^}]*\"standard_deviation\"[^}]*\"n\"[^}]*\"best\"")
  expect_json("${document}" 2 spread ${figure} n)
endforeach()

# A study that has finished says its result again; one that grows runs what is missing.
oche(0 search --resume study --seeds 2)
expect_equal("${out}" "${genotype}")
expect_match("${err}" "seed 5, 1 of 2: has finished before\nseed 6, 2 of 2: has finished before\n")
oche(0 search ${options} --seeds 1 --out grown --quiet --json)
expect_json("${out}" 1 spread train_loss n)
string(JSON type TYPE "${out}" spread train_loss standard_deviation)
expect_equal("${type}" NULL)

# Interrupted in the second run: the first is kept, and the rest leads to the same bits.
list(JOIN options " " arguments)
execute_process(
  COMMAND sh -c "'${OCHE}' search ${arguments} --seeds 2 --out cut --json & pid=$!
                 until ls cut/seed6/ckpt 2>/dev/null | grep -q . || ! kill -0 $pid; do sleep 0.01; done
                 kill -INT $pid; wait $pid"
  WORKING_DIRECTORY ${WORK} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
expect_equal("${code}" 130)
expect_json("${out}" OFF finished)
expect_json("${out}" 1 spread train_loss n)
expect_match("${err}" "1 of 2 seeds finished; go on with --resume cut --seeds 2\n")
expect_same(study/seed5 cut/seed5)
oche(0 search --resume cut --seeds 2 --threads 1)
expect_equal("${out}" "${genotype}")
expect_match("${err}" "seed 5, 1 of 2: has finished before\nseed 6, 2 of 2\n.*going on after ")
expect_same(study/seed6 cut/seed6)

# What is refused, before anything runs.
fails(2 "--seeds: [^\n]*range" search --seeds 0)
fails(2 "run directory 'study/seed6' is not empty; use --resume" search ${options} --seed 6 --seeds 2 --out study)
fails(2 "--seeds: 2 is not allowed; the last seed would exceed" search --seed 9223372036854775807 --seeds 2)
fails(2 "'study' holds the runs of several seeds" search --resume study)
fails(2 "'alone' has no runs of several seeds" search --resume alone --seeds 2)
fails(2 "--lr: '7' would change the run" search --resume study --seeds 2 --lr 7)
file(REMOVE_RECURSE ${WORK}/cut/seed6)
oche(0 search ${options} --seed 6 --epochs 1 --out cut/seed6 --quiet)
fails(2 "the settings of 'cut/seed6' are not those of the first run" search --resume cut --seeds 2 --quiet)

# Three runs take three times the steps of one.
oche(0 search ${options} --dry-run --json)
string(JSON steps GET "${out}" steps)
math(EXPR steps "3 * ${steps}")
oche(0 search ${options} --seeds 3 --dry-run --json)
expect_json("${out}" ${steps} steps)
