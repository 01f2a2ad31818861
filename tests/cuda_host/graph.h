// Recorded work of the model: a list of what is to be run.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace oche::cuda_host {

// While a stream is captured: keeps `work` for the graph and returns true; else returns false.
bool recorded(std::function<cudaError_t()> work);
bool is_recording();
// Memory that is allocated while a stream is captured is the graph's, and stays until that is gone.
void keep_for_graph(void* memory);
bool is_kept_for_graph(void* memory);

}  // namespace oche::cuda_host
