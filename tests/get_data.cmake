# scripts/get_data.sh against a mirror on the disk: cmake -D ROOT=<sources> -D WORK=<folder to fill> -P get_data.cmake
# The mirror's files are zeros of the official sizes, in sparse files, hence other checksums than the official ones.
cmake_minimum_required(VERSION 3.25)

find_program(CURL curl)
if(NOT CURL)
  message("SKIP: curl is not installed (wget does not read file://)")
  return()
endif()
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/mirror)

# get_data(code regex argument...): runs it in WORK, expects the exit code and the regex in what it prints.
function(get_data code regex)
  execute_process(COMMAND ${ROOT}/scripts/get_data.sh ${ARGN} WORKING_DIRECTORY ${WORK}
                  OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE actual)
  if(NOT actual STREQUAL code OR NOT "${out}" MATCHES "${regex}")
    list(JOIN ARGN " " arguments)
    message(FATAL_ERROR "get_data.sh ${arguments}: exit ${actual}, expected ${code} and ${regex}\n${out}")
  endif()
endfunction()

# in_mirror(command): of a shell, in the mirror.
function(in_mirror command)
  execute_process(COMMAND sh -c "${command}" WORKING_DIRECTORY ${WORK}/mirror COMMAND_ERROR_IS_FATAL ANY)
endfunction()

get_data(2 "usage: scripts/get_data.sh SET")
get_data(0 "fashion-mnist +29 MiB" --help)
get_data(2 "unknown data set 'cifar'; expected cifar10, cifar100, mnist or fashion-mnist" cifar)
get_data(2 "at most one directory" mnist a b)

# An archive.
in_mirror("mkdir cifar-100-binary && truncate -s 153700000 cifar-100-binary/train.bin &&
           truncate -s 30740000 cifar-100-binary/test.bin && tar -c cifar-100-binary | gzip -1 > good.tar.gz &&
           truncate -s 30740001 cifar-100-binary/test.bin && tar -c cifar-100-binary | gzip -1 > long.tar.gz")
set(ENV{OCHE_CIFAR100_URL} file://${WORK}/mirror/none.tar.gz)
get_data(1 "download of file:.*none.tar.gz failed; run again" cifar100)
set(ENV{OCHE_CIFAR100_URL} file://${WORK}/mirror/good.tar.gz)
get_data(1 "SHA-256 is [0-9a-f]+, expected 58a81ae1.*the file was removed" cifar100)
file(GLOB left ${WORK}/data/cifar100/*)
if(left)
  message(SEND_ERROR "a download with a wrong checksum left ${left}")
endif()
set(ENV{OCHE_CIFAR100_URL} file://${WORK}/mirror/long.tar.gz)
file(SHA256 ${WORK}/mirror/long.tar.gz sum)
set(ENV{OCHE_CIFAR100_SHA256} ${sum})
get_data(1 "does not hold cifar-100-binary with the files train.bin:153700000 test.bin:30740000" cifar100)
file(GLOB_RECURSE left ${WORK}/data/cifar100/*.bin)
if(left)
  message(SEND_ERROR "an unfit archive left ${left}")
endif()
file(REMOVE_RECURSE ${WORK}/data)
set(ENV{OCHE_CIFAR100_URL} file://${WORK}/mirror/good.tar.gz)
file(SHA256 ${WORK}/mirror/good.tar.gz sum)
set(ENV{OCHE_CIFAR100_SHA256} ${sum})
file(MAKE_DIRECTORY ${WORK}/data/cifar100)
in_mirror("head -c 1000 good.tar.gz > ../data/cifar100/cifar-100-binary.tar.gz.part")  # to be continued
get_data(0 "data/cifar100/cifar-100-binary is complete" cifar100)
file(SIZE ${WORK}/data/cifar100/cifar-100-binary/train.bin size)
file(GLOB left RELATIVE ${WORK}/data/cifar100 ${WORK}/data/cifar100/* ${WORK}/data/cifar100/.un*)
if(NOT "${size} ${left}" STREQUAL "153700000 cifar-100-binary")
  message(SEND_ERROR "cifar100: ${size} ${left}")
endif()
set(ENV{OCHE_CIFAR100_URL} file:///none)  # complete: nothing is downloaded
get_data(0 "is complete" cifar100)

# Four files.
in_mirror("truncate -s 47040016 train-images-idx3-ubyte; truncate -s 60008 train-labels-idx1-ubyte
           truncate -s 7840016 t10k-images-idx3-ubyte; truncate -s 10008 t10k-labels-idx1-ubyte; gzip -1 *ubyte")
set(sums "")
foreach(name train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1)
  file(SHA256 ${WORK}/mirror/${name}-ubyte.gz sum)
  string(APPEND sums "${sum} ")
endforeach()
set(ENV{OCHE_FASHION_MNIST_URL} file://${WORK}/mirror/)
get_data(1 "train-images-idx3-ubyte.gz: SHA-256 is [0-9a-f]+, expected 3aede38d" fashion-mnist here)
set(ENV{OCHE_FASHION_MNIST_SHA256} "${sum}")
get_data(2 "expected 4 SHA-256, got 1" fashion-mnist here)
set(ENV{OCHE_FASHION_MNIST_SHA256} "${sums}")
get_data(0 "here is complete" fashion-mnist here)
file(GLOB left RELATIVE ${WORK}/here ${WORK}/here/*)
list(SORT left)
if(NOT "${left}" STREQUAL
   "t10k-images-idx3-ubyte;t10k-labels-idx1-ubyte;train-images-idx3-ubyte;train-labels-idx1-ubyte")
  message(SEND_ERROR "fashion-mnist: ${left}")
endif()
file(REMOVE ${WORK}/here/t10k-labels-idx1-ubyte)
get_data(0 "here is complete" fashion-mnist here)
file(SIZE ${WORK}/here/t10k-labels-idx1-ubyte size)
if(NOT size EQUAL 10008)
  message(SEND_ERROR "t10k-labels-idx1-ubyte: ${size} bytes")
endif()
file(REMOVE_RECURSE ${WORK})
