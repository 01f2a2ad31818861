// Baseline rows of a CUDA device: a copy, and cuBLAS and cuDNN where they are found.
#include <algorithm>

#include "benchmarks/device_timing.h"
#include "benchmarks/families.h"

namespace oche::bench {

std::vector<Family> copy_families() {
  return {
      {.name = "copy",
       .group = "baseline",
       .summary =
           "bytes read and bytes written, half each, by cudaMemcpyAsync; kernel:1 by a kernel",
       .parameters = {{"bytes", 8388608, 8}, {"kernel", 0, 0}},
       .instances = {{},
                     {{"kernel", 1}},
                     {{"bytes", 65536}},
                     {{"bytes", 1048576}},
                     {{"bytes", 67108864}},
                     {{"bytes", 268435456}}},
       .make = [](const Arguments& a, DType) { return copy_case(a["bytes"], a["kernel"] != 0); }}};
}

#ifdef OCHE_HAVE_CUDA
namespace {

// Our own family `name`, without the parameters that the library does not know.
Family baseline(const std::vector<Family>& own,
                const std::string& library,
                const std::string& name,
                const std::vector<std::string_view>& dropped) {
  Family family = *std::ranges::find(own, name, &Family::name);
  const auto is_dropped = [&](std::string_view parameter) {
    return std::ranges::find(dropped, parameter) != dropped.end();
  };
  family.name = library + "/" + name;
  family.group = "baseline";
  std::erase_if(family.parameters, [&](const Parameter& p) { return is_dropped(p.name); });
  std::erase_if(family.instances, [&](const Instance& instance) {
    return std::ranges::any_of(instance, [&](const auto& item) { return is_dropped(item.first); });
  });
  return family;
}

bool has(const kernels::cuda::LibraryState& state) {
  return state.problem.empty();
}

}  // namespace

// What they compute instead of our kernels. cuDNN's own gates are others, and depthwise
// convolutions are none of its business here.
std::vector<Family> cuda_library_families() {
  std::vector<Family> families;
  if (has(kernels::cuda::cublas_state())) {
    families.push_back(baseline(reduce_families(By::kLibraries), "cublas", "gemm", {}));
    families.back().summary += ", by cuBLAS";
  }
  if (has(kernels::cuda::cudnn_state())) {
    const std::vector<Family> convolutions = conv2d_families(By::kLibraries);
    for (const std::string pass : {"forward", "input_grad", "weight_grad"}) {
      for (const std::string kind : {"conv2d_", "conv2d_pointwise_"}) {
        families.push_back(baseline(convolutions, "cudnn", kind + pass, {"relu", "groups"}));
        families.back().summary = kind == "conv2d_" ? "dense, by cuDNN" : "1x1, by cuDNN";
        families.back().f32_only = true;
      }
    }
  }
  return families;
}

std::vector<std::string> missing_cuda_libraries() {
  std::vector<std::string> missing;
  for (const auto* state : {&kernels::cuda::cublas_state(), &kernels::cuda::cudnn_state()}) {
    if (!has(*state)) missing.push_back(state->name);
  }
  return missing;
}
#else
std::vector<Family> cuda_library_families() {
  return {};
}
std::vector<std::string> missing_cuda_libraries() {
  return {};
}
#endif

}  // namespace oche::bench
