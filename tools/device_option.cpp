// --device: where tensors are and kernels run.
#include "tools/device_option.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <thread>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/runtime.h"
#include "tools/exit_code.h"

namespace oche::tools {
namespace {

// N of "cuda:N", 0 of "cuda".
std::optional<int> cuda_index(std::string_view device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:")) return std::nullopt;
  device.remove_prefix(5);
  int index = 0;
  const auto [end, error] = std::from_chars(device.data(), device.data() + device.size(), index);
  const bool is_number = error == std::errc() && end == device.data() + device.size() &&
                         device.find('-') == device.npos;
  return is_number ? std::optional(index) : std::nullopt;
}

}  // namespace

CLI::Option* add_device_option(CLI::App& command, std::string& device) {
  return command.add_option("--device", device, fmt::format("auto, cpu or cuda[:N] [{}]", device))
      ->option_text("NAME")
      ->type_name("{auto,cpu,cuda}")
      ->envname("OCHE_DEVICE");
}

void choose_device(const std::string& device, Console& console) {
  const int count = device == "cpu" ? 0 : cuda_device_count();
  if (device == "auto") {
    if (count == 0) return console.note(fmt::format("device: cpu (auto; {})", why_no_cuda()));
    console.note(fmt::format("device: cuda:0 (auto; {})", cuda_device_name(0)));
    return set_default_device({DeviceType::kCuda, 0});
  }
  if (device == "cpu") return set_default_device({});
  const std::optional<int> index = cuda_index(device);
  if (!index) {
    throw UsageError(
        fmt::format("--device: {} is not a device; expected auto, cpu or cuda[:N]", quote(device)));
  }
  if (*index >= count) {
    const std::string reason =
        count == 0 ? why_no_cuda() : fmt::format("there are {} CUDA devices, from 0", count);
    throw DeviceError(fmt::format("--device {}: {}; use --device cpu", device, reason));
  }
  set_default_device({DeviceType::kCuda, *index});
}

int default_threads() {
  return static_cast<int>(std::thread::hardware_concurrency()) + 1;
}

CLI::Option* add_threads_option(CLI::App& command, int& threads) {
  return command
      .add_option(
          "--threads", threads, "threads in all, one of which loads images [processors + 1]")
      ->option_text("N")
      ->envname("OCHE_THREADS");
}

void use_threads(int threads) {
  constexpr int kMaxThreads = 1024;
  if (threads < 1 || threads > kMaxThreads) {
    throw UsageError(
        fmt::format("--threads: {} is not allowed; expected 1 to {}", threads, kMaxThreads));
  }
  set_num_threads(std::max(1, threads - 1));
}

}  // namespace oche::tools
