// All families of rows.
#include "benchmarks/families.h"

namespace oche::bench {

std::vector<Family> all_families() {
  std::vector<Family> all;
  for (const auto& families : {elementwise_families(),
                               reduce_families(),
                               conv2d_families(),
                               pool2d_families(),
                               norm_families(),
                               random_families(),
                               optimizer_families(),
                               cell_families(),
                               network_families(),
                               onednn_families(),
                               openblas_families()}) {
    all.insert(all.end(), families.begin(), families.end());
  }
  return all;
}

std::vector<std::string> missing_baselines() {
  std::vector<std::string> missing;
  if (onednn_families().empty()) missing.emplace_back("oneDNN (Debian: libdnnl-dev)");
  if (openblas_families().empty()) missing.emplace_back("OpenBLAS (Debian: libopenblas-dev)");
  return missing;
}

}  // namespace oche::bench
