# Data sets: a search on each kind, its size without the data, what is said of missing and malformed files.
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

set(RUN --train-size 16 --layers 3 --channels 2 --steps 1 --batch 8 --epochs 1 --quiet)

# in_shell(command): in WORK.
function(in_shell command)
  execute_process(COMMAND sh -c "${command}" WORKING_DIRECTORY ${WORK} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# data_file(NAME BYTES OCTAL): a file that begins with these bytes, "\\ooo...", and goes on with zeros, which take no room
# on the disk.
function(data_file name bytes head)
  cmake_path(GET name PARENT_PATH folder)
  in_shell("mkdir -p ${folder} && printf '${head}' > ${name} && truncate -s ${bytes} ${name}")
endfunction()

# runs_on(SET PATH flip): a search finds a genotype, and `flip` is in its configuration.
function(runs_on set path flip)
  oche(0 search --dataset ${set} --data ${path} ${RUN} --out run-${set})
  expect_match("${out}" "^Genotype\\(")
  file(READ ${WORK}/run-${set}/config.toml config)
  expect_match("${config}" "set = \"${set}\"\ndir = \"${path}\"\n")
  expect_match("${config}" "\nflip = ${flip}\n")
endfunction()

# refuses(SET PATH regex): the data, in the message of exit code 3.
function(refuses set path regex)
  fails(3 "${regex}" search --dataset ${set} --data ${path} ${RUN} --out none)
endfunction()

# has_size(SET PATH WEIGHTS STEPS argument...): by a dry run.
function(has_size set path weights steps)
  oche(0 search --dataset ${set} --data ${path} --dry-run --json ${ARGN})
  expect_json("${out}" ${weights} weights)
  expect_json("${out}" ${steps} steps)
endfunction()

# Published sets: a dry run needs no file. With 100 instead of 10 classes, 90 rows of 256 + 1 numbers more in the
# classifier; with one channel instead of three, 2 * 9 * 48 numbers less in the stem.
has_size(cifar10 none 1930618 19500)
has_size(cifar100 none 1953748 19500)
has_size(mnist none 1929754 23400)
has_size(fashion-mnist none 1929754 23400)

# What is missing is named with all that it takes to get it; the checksums are those of the script that does.
file(READ ${CMAKE_CURRENT_LIST_DIR}/../../scripts/get_data.sh script)
foreach(set "cifar10;1;data_batch_1.bin .30730000 bytes." "cifar100;1;train.bin .153700000 bytes."
            "mnist;4;train-images-idx3-ubyte .47040016 bytes." "fashion-mnist;4;t10k-labels-idx1-ubyte .10008 bytes.")
  list(GET set 0 name)
  list(GET set 1 archives)
  list(GET set 2 file)
  fails(3 "^oche: ${name}: 'none/${name}': missing .*${file}.*; fetch with: scripts/get_data.sh ${name} 'none/${name}'\n"
        search --dataset ${name} --data none ${RUN} --out missing)
  string(REGEX MATCHALL "SHA-256 [0-9a-f]+" checksums "${err}")
  list(LENGTH checksums count)
  expect_equal("${name}: ${count} archives" "${name}: ${archives} archives")
  foreach(checksum IN LISTS checksums)
    string(REPLACE "SHA-256 " "" checksum "${checksum}")
    string(FIND "${script}" "${checksum}" place)
    if(place EQUAL -1)
      message(SEND_ERROR "${name}: scripts/get_data.sh does not know ${checksum}")
    endif()
  endforeach()
endforeach()

# Records. All labels are 0 where nothing else is written.
data_file(all/cifar100/cifar-100-binary/train.bin 153700000 "\\023\\143")
data_file(all/cifar100/cifar-100-binary/test.bin 30740000 "")
runs_on(cifar100 all true)
data_file(all/cifar100/cifar-100-binary/train.bin 153700000 "\\023\\144")
refuses(cifar100 all "train.bin': fine label 100, expected 0 to 99, at byte 1; fetch")
data_file(all/cifar100/cifar-100-binary/train.bin 153699999 "")
refuses(cifar100 all/cifar100
        "train.bin': 153699999 bytes, expected 153700000 .50000 records of 3074.: ends at byte 153699999")
data_file(all/cifar100/cifar-100-binary/train.bin 153703074 "")
refuses(cifar100 all/cifar100/cifar-100-binary "surplus at byte 153700000")
foreach(file data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch)
  data_file(empty/${file}.bin 0 "")
endforeach()
refuses(cifar10 empty "data_batch_1.bin': 0 bytes, expected 30730000 .* at byte 0")

# idx files: 60,000 = 0xea60 images, 10,000 = 0x2710.
set(images "\\000\\000\\010\\003\\000\\000\\352\\140\\000\\000\\000\\034\\000\\000\\000\\034")
data_file(all/mnist/train-images-idx3-ubyte 47040016 "${images}")
data_file(all/mnist/train-labels-idx1-ubyte 60008 "\\000\\000\\010\\001\\000\\000\\352\\140\\001\\002\\003")
data_file(all/mnist/t10k-images-idx3-ubyte 7840016 "")  # the test images are never read
data_file(all/mnist/t10k-labels-idx1-ubyte 10008 "")
runs_on(mnist all false)
runs_on(fashion-mnist all/mnist true)
oche(0 search ${RUN} --no-flip --out straight)
file(READ ${WORK}/straight/config.toml config)
expect_match("${config}" "\nset = \"patterns\"\n.*\nflip = false\n")
data_file(all/mnist/train-labels-idx1-ubyte 60008 "\\000\\000\\010\\001\\000\\000\\352\\140\\001\\012")
refuses(mnist all
        "train-labels-idx1-ubyte': label 10, expected 0 to 9, at byte 9; fetch the files again with: scripts/get_data.sh mnist")
data_file(all/mnist/train-images-idx3-ubyte 47040016 "\\000\\000\\015")
refuses(mnist all "train-images-idx3-ubyte': magic number 3328, expected 2051 .*, at byte 0")
data_file(all/mnist/train-images-idx3-ubyte 12 "${images}")
refuses(mnist all "train-images-idx3-ubyte': 12 bytes, expected 47040016 .*: ends at byte 12")

# A folder of 9x9 colour images in two classes, a PNG and its copies, a JPEG and its copies. Reductions leave 5x5, 3x3.
oche(0 doctor --json)
string(JSON png GET "${out}" png)
string(JSON jpeg GET "${out}" jpeg)
set(samples ${CMAKE_CURRENT_LIST_DIR}/../data/images)
in_shell("mkdir -p own/blend own/stripes/more && for i in 0 1 2 3 4 5 6 7 8; do
          cp ${samples}/blend.png own/blend/$i.png; cp ${samples}/stripes.jpg own/stripes/more/$i.jpeg; done")
if(png AND jpeg)
  runs_on(folder own true)
  has_size(folder own 1928562 100 --batch 4)
  fails(2 "--train-size: 19 is not allowed; folder has 18" search --dataset folder --data own --train-size 19 --dry-run)
  in_shell("head -c 200 ${samples}/blend.png > own/blend/4.png")
  refuses(folder own "own/blend/4.png': libpng: ")
  in_shell("head -c 300 ${samples}/stripes.jpg > own/blend/4.png")
  refuses(folder own "own/blend/4.png': libjpeg: ")
  in_shell(": > own/blend/4.png")
  refuses(folder own "own/blend/4.png': neither a PNG nor a JPEG image at byte 0")
else()
  refuses(folder own "image needs lib(png|jpeg), which this build lacks")
endif()
fails(3 "'none': cannot be listed: No such file" search --dataset folder --data none --dry-run)
refuses(folder own/blend "'own/blend': 0 sub-folders; expected one for each of at least 2 classes")

# Arrays: 16 images of 7x6 pixels in three classes.
set(header [[{"x_train":{"dtype":"U8","shape":[16,7,6],"data_offsets":[0,672]},"y_train":{"dtype":"U8","shape":[16],"data_offsets":[672,688]}}]])
string(LENGTH "${header}" length)
file(WRITE ${WORK}/header.json "${header}")
in_shell("{ printf \"\\\\$(printf %03o ${length})\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\"; cat header.json; seq 1000 | head -c 672
            printf '\\0\\1\\2\\0\\1\\2\\0\\1\\2\\0\\1\\2\\0\\1\\2\\0'; } > own.safetensors")
runs_on(arrays own.safetensors true)
has_size(arrays own.safetensors 1927955 50 --batch 8)
in_shell("head -c 700 own.safetensors > cut.safetensors")
refuses(arrays cut.safetensors "cut.safetensors.*; expected a safetensors file with x_train and y_train")
math(EXPR last "8 + ${length} + 687")
in_shell("head -c ${last} own.safetensors > wrong.safetensors && printf '\\020' >> wrong.safetensors")
fails(3 "'wrong.safetensors': y_train\\[15\\] is 16, expected 0 to 15, at byte ${last}\n"
      search --dataset arrays --data wrong.safetensors --dry-run)
refuses(arrays none "cannot open 'none'")
foreach(directory none missing runs)
  if(EXISTS ${WORK}/${directory})
    message(SEND_ERROR "a search that failed left the run directory ${directory}")
  endif()
endforeach()
file(REMOVE_RECURSE ${WORK}/all)
