// Lists of tensors as one index space.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {

// body(tensor, begin, end) for the parts of tensors that make up the chunks of the flat index
// space. A chunk finds its first tensor by walking along the list, which is short beside a chunk.
template <typename Entry, typename Body>
void for_chunks(CpuContext& ctx, std::span<const Entry> tensors, const Body& body) {
  int64_t total = 0;
  for (const Entry& t : tensors) total += t.n;
  for_blocks(ctx, total, kTask, [&](int64_t first, int64_t last) {
    int64_t start = 0;  // of the tensor, in the flat space
    for (const Entry& t : tensors) {
      if (start >= last) break;
      const int64_t begin = std::max<int64_t>(0, first - start), end = std::min(t.n, last - start);
      if (begin < end) body(t, begin, end);
      start += t.n;
    }
  });
}

}  // namespace oche::kernels
