// The CUDA back end as far as it is there.
#include "tools/cuda_report.h"

#include <string_view>

#ifdef OCHE_HAVE_CUDA
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/runtime.h"
#endif

namespace oche::tools {

#ifdef OCHE_HAVE_CUDA
namespace {

namespace cuda = kernels::cuda;

std::string version_text(int version) {  // 1000 * major + 10 * minor
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

Json device_report(int index) {
  const cuda::DeviceProperties p = cuda::device_properties(index);
  return {{"device", fmt::format("cuda:{}", index)},
          {"name", p.name},
          {"compute_capability", fmt::format("{}.{}", p.major, p.minor)},
          {"multiprocessors", p.multiprocessors},
          {"memory_bytes", p.total_bytes},
          {"driver", version_text(p.driver)}};
}

Json library_report(const cuda::LibraryState& state) {
  if (!state.problem.empty()) return {{"in_use", false}, {"problem", state.problem}};
  return {{"in_use", true}, {"version", state.version}, {"path", state.path}};
}

}  // namespace

std::string cuda_version_text() {
  return "yes (" OCHE_CUDA_TOOLKIT ")";
}
std::string cuda_architectures() {
  return OCHE_CUDA_ARCHITECTURES;
}

Json cuda_report() {
  Json report = {{"toolkit", OCHE_CUDA_TOOLKIT}, {"architectures", OCHE_CUDA_ARCHITECTURES}};
  report["devices"] = Json::array();
  const int devices = cuda::device_count();
  for (int i = 0; i < devices; ++i) report["devices"].push_back(device_report(i));
  if (devices == 0) report["problem"] = cuda::no_device_reason();
  const bool off = cuda::library_use_of_environment() == cuda::LibraryUse::kNone;
  const auto library = [&](auto state) -> Json {
    if (off) return {{"in_use", false}, {"problem", "OCHE_CUDA_LIBRARIES=none"}};
    if (devices == 0) return {{"in_use", false}, {"problem", "not looked for without a device"}};
    return library_report(state());
  };
  report["cublas"] = library(cuda::cublas_state);
  report["cudnn"] = library(cuda::cudnn_state);
  return report;
}
#else
std::string cuda_version_text() {
  return "no";
}
std::string cuda_architectures() {
  return "";
}

Json cuda_report() {
  return {{"devices", Json::array()}, {"problem", "not in this build: " OCHE_WHY_NO_CUDA}};
}
#endif

void print_cuda(const Json& report) {
  const auto text = [](const Json& of, const char* key) { return of[key].get<std::string>(); };
  std::string line;
  if (report.contains("toolkit")) {
    line = fmt::format("{} for {}", text(report, "toolkit"), text(report, "architectures"));
    if (report.contains("problem")) line += "; no device: ";
  }
  if (report.contains("problem")) line += text(report, "problem") + "; all runs on the CPU";
  fmt::print("CUDA          {}\n", line);
  for (const Json& device : report["devices"]) {
    fmt::print(
        "{:<13} {}, compute capability {}, {} multiprocessors, {:.1f} GiB, driver for CUDA {}\n",
        text(device, "device"),
        text(device, "name"),
        text(device, "compute_capability"),
        device["multiprocessors"].get<int>(),
        device["memory_bytes"].get<double>() / (1 << 30),
        text(device, "driver"));
  }
  const auto library = [&](const char* key, const char* name, const char* work) {
    if (!report.contains(key)) return;
    const Json& state = report[key];
    if (state["in_use"].get<bool>()) {
      fmt::print(
          "{:<13} {} ({}), for {}\n", name, text(state, "version"), text(state, "path"), work);
    } else if (report["devices"].empty()) {
      fmt::print("{:<13} {}\n", name, text(state, "problem"));
    } else {
      fmt::print("{:<13} no: {}; our own kernels compute {}\n", name, text(state, "problem"), work);
    }
  };
  library("cublas", "cuBLAS", "the classifier's matrix products");
  library("cudnn", "cuDNN", "the stem's convolution");
}

}  // namespace oche::tools
