// OCHE_TEST_DEVICE=cuda: the tests of this executable make their tensors there; exit code 77 where
// there is no such device.
#include "engine/device.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace oche {
namespace {

[[maybe_unused]] const bool is_chosen = [] {
  const char* name = std::getenv("OCHE_TEST_DEVICE");
  if (!name || std::string_view(name) == "cpu") return true;
  if (cuda_device_count() == 0) {
    fmt::print("SKIP: {}\n", why_no_cuda());
    std::fflush(stdout);
    std::_Exit(77);
  }
  set_default_device({DeviceType::kCuda, 0});
  return true;
}();

}  // namespace
}  // namespace oche
