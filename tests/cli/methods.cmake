# `oche methods`: what it lists can be searched with, by name and by the configuration that it prints.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

oche(0 methods)
expect_match("${out}" "^method +space +relaxation +edge +gradient +regulariser +decision +stop +schedule +source\ndarts +[.] +[.] +[.] +finite-difference ")
expect_match("${out}" "\ndarts-1st +darts-cnn +softmax +full +first-order +none +top2 +epochs +alpha-first ")
expect_match("${out}" "\np-darts +[^\n]*skip dropout[^\n]*3 stages, alphas from 10")
expect_match("${out}" "\nsmooth-darts-adv +darts-cnn-no-none +softmax, adversarial ")
expect_match("${out}" "\nWhere a preset differs [^\n]+:\n.*\ngdas: pools keep")
oche(0 methods --json)
set(listed "${out}")
string(JSON count LENGTH "${listed}" methods)
math(EXPR last "${count} - 1")
set(tiny --layers 2 --channels 2 --steps 2 --multiplier 2 --batch 4 --train-size 40 --epochs 1)
# What some need besides, to be as small.
set(tiny_p-darts --epochs 3 --set schedule.alpha-from=0 --set stages.layers=2,2,2)
set(tiny_pc-darts --channels 8 --set schedule.alpha-from=0)
set(names "")
foreach(i RANGE ${last})
  string(JSON name GET "${listed}" methods ${i} name)
  list(APPEND names ${name})
  oche(0 methods ${name} --json)
  string(JSON one GET "${listed}" methods ${i})
  string(JSON same EQUAL "${out}" "${one}")
  expect_equal("${name} ${same}" "${name} ON")

  oche(0 methods ${name})
  expect_match("${out}" "^# [^\n]+arXiv:[0-9.]+")
  if(SANITIZED AND NOT name MATCHES "^(gdas|p-darts)$")  # a search with each takes minutes there
    continue()
  endif()
  file(WRITE ${WORK}/${name}.toml "${out}")
  oche(0 search ${tiny} ${tiny_${name}} --config ${name}.toml --out by-file-${name} --quiet)
  oche(0 search ${tiny} ${tiny_${name}} --method ${name} --out by-name-${name} --quiet)
  foreach(file config.toml genotypes.jsonl genotype.json weights.safetensors)
    file(SHA256 ${WORK}/by-file-${name}/${file} expected)
    file(SHA256 ${WORK}/by-name-${name}/${file} actual)
    expect_equal("${name}/${file} ${actual}" "${name}/${file} ${expected}")
  endforeach()
endforeach()
expect_equal("${names}" "darts;darts-1st;darts-one-level;gdas;snas;fair-darts;pc-darts;p-darts;darts-plus;robust-darts;smooth-darts-rs;smooth-darts-adv")

# A preset leaves to the data set what that decides.
oche(0 methods darts)
if(out MATCHES "\\[data\\]" OR out MATCHES "flip")
  message(SEND_ERROR "the preset fixes the data set")
endif()

# A part by the name of its section; what would do nothing is refused, with the setting that decides.
oche(0 search --set relaxation=sigmoid --set edge.drop-path=0.2 --set edge.drop-path-curve=linear ${tiny} --out by-section --quiet)
file(READ ${WORK}/by-section/config.toml config)
expect_match("${config}" "\n.relaxation.\nname = \"sigmoid\"")
expect_match("${config}" "\ndrop-path-curve = \"linear\"")
fails(2 "--layers: '20' is not allowed; expected 8, as stages.layers decides" search --method p-darts --layers 20 --dry-run)
fails(2 "--train-fraction: '0.8' is not allowed; expected 0.5, as all images train weights and alphas" search --method snas
      --train-fraction 0.8 --dry-run)
fails(2 "--temperature: '5' is not allowed; expected 1, as the relaxation has no temperature" search --temperature 5 --dry-run)
fails(2 "regulariser.weight: '2' is not allowed; expected 0, as there is no regulariser" search --set regulariser.weight=2
      --dry-run)
oche(0 search ${tiny} --method robust-darts --out never)
expect_match("${err}" "the stop alpha-eigenvalue may end a search after 23 epochs at the earliest; this one has 1")
oche(0 search --space nas-bench-201 --layers 3 --channels 2 --steps 3 --dry-run)

fails(2 "unknown method 'gads'; did you mean gdas" methods gads)
fails(2 "perturb: random is not allowed; expected none with sigmoid" search --method fair-darts --perturb random --dry-run)
fails(2 "gradient: finite-difference is not allowed; expected first-order or one-level with gumbel-hard" search --method gdas --gradient finite-difference
      --dry-run)
