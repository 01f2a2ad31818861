// Recorded work of the model: a list of what is to be run.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace oche::cuda_host {

// While a stream is captured: keeps `work` for the graph and returns true; else returns false.
bool recorded(std::function<cudaError_t()> work);
bool is_recording();

}  // namespace oche::cuda_host
