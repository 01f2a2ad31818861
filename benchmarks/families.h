// All families of rows, by concern.
#pragma once

#include <string>
#include <vector>

#include "benchmarks/launch.h"
#include "benchmarks/row.h"

namespace oche::bench {

std::vector<Family> elementwise_families();
std::vector<Family> reduce_families(
    By by = By::kOwnKernels);  // sums, maxima, softmax, matrix products
std::vector<Family> conv2d_families(By by = By::kOwnKernels);
std::vector<Family> pool2d_families();
std::vector<Family> norm_families();  // batch normalisation, mixed sums
std::vector<Family> random_families();
std::vector<Family> optimizer_families();
std::vector<Family> cell_families();  // primitives, mixed op, cell
std::vector<Family> mixed_cell_families();
std::vector<Family> network_families();  // network, loss, search step
std::vector<Family> onednn_families();   // baselines; empty where the library is missing
std::vector<Family> openblas_families();
std::vector<Family> copy_families();          // of a CUDA device, as those below
std::vector<Family> cuda_library_families();  // cuBLAS, cuDNN; empty where they are missing

// On the default device.
std::vector<Family> all_families();

// One line for each optional library that was not found: when this was built, those of a device
// now.
std::vector<std::string> missing_baselines();
std::vector<std::string> missing_cuda_libraries();

}  // namespace oche::bench
