// What `oche doctor` and `oche --version` say of CUDA.
#pragma once

#include <string>

#include "tools/json_output.h"

namespace oche::tools {

// "no", or "yes (<version of the toolkit>)".
std::string cuda_version_text();
// What the CUDA kernels were compiled for, such as "90-real 75-virtual"; empty without them.
std::string cuda_architectures();

// Devices with what they are, or why there is none; the libraries, which are looked for (and
// loaded) only where there is a device that could use them.
Json cuda_report();
// That, in lines for people.
void print_cuda(const Json& report);

}  // namespace oche::tools
