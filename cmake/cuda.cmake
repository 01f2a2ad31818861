# The CUDA back end, ENABLE_CUDA=AUTO|ON|OFF. Sets
#   OCHE_CUDA       true iff nvcc compiles it, which needs the toolkit and no device,
#   OCHE_CUDA_HOST  true iff the host compiler can compile it for the execution model of tests/cuda_host,
#   OCHE_CUDA_LIBRARY  what the engine links: the back end for devices; in a build for tests under sanitizers, which do not
#                      watch a device, the one for the execution model; or nothing,
#   OCHE_CUDA_STATUS  what to tell the user.
# AUTO leaves out what cannot be built, ON insists on nvcc. The driver is never linked (-lcuda): without one the program
# starts as well, and finds no device.
set(OCHE_CUDA OFF)
set(OCHE_CUDA_HOST OFF)
set(OCHE_CUDA_LIBRARY "")
set(CUDA_ARCHITECTURES 90-real 75-virtual CACHE STRING "What nvcc generates: code for an H100, and what other devices from
 compute capability 7.5 on translate at the first start")
set(reason "")

if(NOT ENABLE_CUDA AND NOT ENABLE_CUDA STREQUAL "AUTO")
  set(OCHE_CUDA_STATUS "off (ENABLE_CUDA=${ENABLE_CUDA})")
  return()
endif()
find_package(CUDAToolkit 12 QUIET)
if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
  set(reason "no CUDA toolkit of version 12 or later (nvcc; Debian: nvidia-cuda-toolkit, or NVIDIA's; set CUDAToolkit_ROOT where it is elsewhere)")
elseif(NOT TARGET CUDA::cudart_static)
  set(reason "the CUDA toolkit in ${CUDAToolkit_BIN_DIR} has no static runtime (libcudart_static.a)")
elseif(ENABLE_SANITIZERS OR ENABLE_THREAD_SANITIZER OR ENABLE_FUZZERS)
  set(reason "sanitizers do not watch a device")
endif()

if(NOT reason)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  if(NOT DEFINED CMAKE_CUDA_HOST_COMPILER)
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${CUDA_ARCHITECTURES})
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
    endif()
    set(OCHE_CUDA ON)
    list(JOIN CUDA_ARCHITECTURES " " architectures)
    set(OCHE_CUDA_STATUS "${CUDAToolkit_VERSION}, ${architectures}")
  else()
    set(reason "nvcc (${CUDAToolkit_NVCC_EXECUTABLE}) does not work with ${CMAKE_CUDA_HOST_COMPILER}")
  endif()
endif()
if(CUDAToolkit_FOUND AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT ENABLE_FUZZERS)
  set(OCHE_CUDA_HOST ON)
endif()
if(OCHE_CUDA)
  set(OCHE_CUDA_LIBRARY kernels_cuda)
elseif(OCHE_CUDA_HOST AND BUILD_TESTS AND ENABLE_SANITIZERS)
  set(OCHE_CUDA_LIBRARY $<BUILD_INTERFACE:kernels_cuda_host>)
endif()
if(reason)
  if(NOT ENABLE_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "ENABLE_CUDA=${ENABLE_CUDA}: ${reason}. "
                        "Configure with -DENABLE_CUDA=AUTO or -DENABLE_CUDA=OFF for the CPU back end.")
  endif()
  set(OCHE_CUDA_STATUS "none: ${reason}")
endif()
