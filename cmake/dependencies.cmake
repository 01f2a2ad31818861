# Finds every library the build needs; what is missing is named at once, with the Debian package that brings it.
set(missing_packages "")

macro(oche_require package debian_package)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    list(APPEND missing_packages "${package} (Debian: ${debian_package})")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
oche_require(Threads libc6-dev)
oche_require(fmt libfmt-dev)
oche_require(nlohmann_json nlohmann-json3-dev)
oche_require(CLI11 libcli11-dev)
oche_require(tomlplusplus libtomlplusplus-dev)
if(BUILD_TESTS)
  oche_require(Catch2 catch2)  # 2 or 3
endif()
if(BUILD_BENCHMARKS)
  oche_require(benchmark libbenchmark-dev)
endif()

if(missing_packages)
  list(JOIN missing_packages "\n  " missing_packages)
  message(FATAL_ERROR "Missing libraries:\n  ${missing_packages}\n"
                      "scripts/deps.sh installs them; -DBUILD_TESTS=OFF does without Catch2, "
                      "-DBUILD_BENCHMARKS=OFF without benchmark (Google Benchmark).")
endif()

# Optional: Graphviz lays out the pictures of cells (target PkgConfig::GRAPHVIZ).
set(OCHE_GRAPHVIZ_STATUS "not found: cells are written as DOT text only (Debian: libgraphviz-dev, pkg-config)")
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(GRAPHVIZ QUIET IMPORTED_TARGET libgvc libcgraph)
  if(GRAPHVIZ_FOUND)
    set(OCHE_GRAPHVIZ_STATUS "${GRAPHVIZ_libgvc_VERSION}")
  endif()
endif()

# Optional: the images of `--dataset folder` (targets PNG::PNG, JPEG::JPEG).
set(OCHE_PNG_STATUS "not found: folders of PNG images are refused (Debian: libpng-dev)")
set(OCHE_JPEG_STATUS "not found: folders of JPEG images are refused (Debian: libjpeg-dev)")
find_package(PNG QUIET)
if(PNG_FOUND)
  set(OCHE_PNG_STATUS "${PNG_VERSION_STRING}")
endif()
find_package(JPEG QUIET)
if(JPEG_FOUND)
  set(OCHE_JPEG_STATUS "${JPEG_VERSION}")
endif()

# Optional: makes manual pages of --help.
find_program(HELP2MAN help2man)
if(HELP2MAN)
  set(OCHE_HELP2MAN_STATUS "${HELP2MAN}")
else()
  set(OCHE_HELP2MAN_STATUS "not found: no manual pages (Debian: help2man)")
endif()

# Optional: what `oche bench` holds the kernels against. oneDNN is told how many threads through OpenMP.
set(OCHE_ONEDNN_STATUS "not found: no baseline rows onednn/ (Debian: libdnnl-dev)")
set(OCHE_OPENBLAS_STATUS "not found: no baseline rows openblas/ (Debian: libopenblas-dev)")
if(BUILD_BENCHMARKS)
  # Debian's dnnl-config.cmake fails without the headers of OpenCL, which its package does not bring.
  find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
  find_library(ONEDNN_LIBRARY dnnl)
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(ONEDNN_INCLUDE_DIR AND ONEDNN_LIBRARY AND OpenMP_CXX_FOUND)
    set(OCHE_HAVE_ONEDNN ON)
    set(OCHE_ONEDNN_STATUS "${ONEDNN_LIBRARY}")
  endif()
  find_package(OpenBLAS QUIET)
  if(OpenBLAS_FOUND)
    set(OCHE_HAVE_OPENBLAS ON)
    set(OCHE_OPENBLAS_STATUS "${OpenBLAS_VERSION}")
  endif()
endif()
