// --device and --threads: where tensors are, and what runs kernels.
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

// --threads N, also from OCHE_THREADS: all, one of which loads images. The loaders, which mostly
// wait, count as one; of a single one they take their share.
int default_threads();  // processors + 1
CLI::Option* add_threads_option(CLI::App& command, int& threads);
// Throws UsageError for a number out of range.
void use_threads(int threads);

}  // namespace oche::tools
