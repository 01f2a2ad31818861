// The execution contexts of this process.
#include "engine/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <thread>

namespace oche {
namespace {

std::unique_ptr<kernels::CpuContext>& context() {
  static auto context = std::make_unique<kernels::CpuContext>(
      std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  return context;
}

}  // namespace

kernels::CpuContext& cpu_context() {
  return *context();
}

void set_num_threads(int threads) {
  if (threads < 1) {
    throw std::invalid_argument(
        fmt::format("set_num_threads: {} threads; expected at least 1", threads));
  }
  if (threads != num_threads()) context() = std::make_unique<kernels::CpuContext>(threads);
}

int num_threads() {
  return cpu_context().threads();
}

}  // namespace oche
