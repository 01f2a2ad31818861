// Memory of a CUDA device for the data of rows.
#pragma once

#include <cstddef>
#include <memory>

namespace oche::bench {

// A copy of `bytes` bytes on the default device, which is a CUDA device. memory_stats() does not
// count it, as it counts no data of kernels.
std::shared_ptr<void> on_default_device(const void* from, size_t bytes);

}  // namespace oche::bench
