// The memory of the device that the model stands for.
#pragma once

#include <cstdint>

namespace oche::cuda_host {

// Allocations beyond so many bytes fail.
void limit_memory(uint64_t bytes);

}  // namespace oche::cuda_host
