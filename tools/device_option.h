// --device: where tensors are and kernels run.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "tools/console.h"

namespace oche::tools {

// --device NAME, also from OCHE_DEVICE; without either `device` stays as it is.
CLI::Option* add_device_option(CLI::App& command, std::string& device);
// Makes "auto" (the first CUDA device, else the CPU), "cpu" or "cuda[:N]" the default device, and
// notes what auto chose. Throws DeviceError where it is not there, UsageError where it is none.
void choose_device(const std::string& device, Console& console);

}  // namespace oche::tools
