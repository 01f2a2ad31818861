// The device that the model stands for, in the numbers of an H100 (compute capability 9.0).
#pragma once

#include <cstddef>
#include <cstdint>

namespace oche::cuda_host {

constexpr int kLanes = 32;                         // threads of a warp
constexpr uint64_t kBlockThreads = 1024;           // at most
constexpr size_t kDefaultSharedBytes = 48 * 1024;  // of a block, at most
constexpr size_t kSharedBytes = 227 * 1024;        // likewise, static arrays of at most the above
                                                   // included, for a kernel that opts in
constexpr int kMultiprocessors = 4;                // so few that small cases meet grid strides
constexpr uint64_t kMemoryBytes = uint64_t{4} << 30;

}  // namespace oche::cuda_host
