// All families of rows.
#include "benchmarks/families.h"

namespace oche::bench {

std::vector<Family> all_families() {
  std::vector<std::vector<Family>> parts = {elementwise_families(),
                                            reduce_families(),
                                            conv2d_families(),
                                            pool2d_families(),
                                            norm_families(),
                                            random_families(),
                                            optimizer_families(),
                                            cell_families(),
                                            mixed_cell_families(),
                                            network_families()};
  // The baselines run on the same device.
  if (on_cuda()) {
    parts.push_back(copy_families());
    parts.push_back(cuda_library_families());
  } else {
    parts.push_back(onednn_families());
    parts.push_back(openblas_families());
  }
  std::vector<Family> all;
  for (const std::vector<Family>& families : parts) {
    all.insert(all.end(), families.begin(), families.end());
  }
  return all;
}

std::vector<std::string> missing_baselines() {
  std::vector<std::string> missing;
  if (on_cuda()) return missing_cuda_libraries();
  if (onednn_families().empty()) missing.emplace_back("oneDNN (Debian: libdnnl-dev)");
  if (openblas_families().empty()) missing.emplace_back("OpenBLAS (Debian: libopenblas-dev)");
  return missing;
}

}  // namespace oche::bench
