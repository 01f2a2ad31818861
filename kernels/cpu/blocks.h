// How the CPU kernels cut their work: into blocks that follow from the shape alone, so that neither
// which thread runs a block nor how many threads there are can change a result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/blocks.h"
#include "kernels/context.h"

namespace oche::kernels {

constexpr int64_t kTask = 16 * 1024;  // elements that make a task worth handing to another thread
constexpr int64_t kColumns = 256;     // columns of a slab that are worked on at a time

// How many items of `elements` each make a task.
inline int64_t items_per_task(int64_t elements) {
  return std::max<int64_t>(1, kTask / std::max<int64_t>(1, elements));
}

// body(begin, end) for the blocks of `block` items that make up [0, n); the last may be shorter.
template <typename Body>
void for_blocks(CpuContext& ctx, int64_t n, int64_t block, const Body& body) {
  ctx.parallel(ceil_div(n, block),
               [&](int64_t i) { body(i * block, std::min(n, (i + 1) * block)); });
}

// body(o, begin, end) for the tiles of at most kColumns columns that make up `outer` slabs of
// `inner` columns; `depth` is the work in a column.
template <typename Body>
void for_columns(CpuContext& ctx, int64_t outer, int64_t depth, int64_t inner, const Body& body) {
  const int64_t tiles = ceil_div(inner, kColumns);
  const int64_t work = std::min(inner, kColumns) * std::max<int64_t>(1, depth);
  for_blocks(ctx, outer * tiles, items_per_task(work), [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t first = (u % tiles) * kColumns;
      body(u / tiles, first, std::min(inner, first + kColumns));
    }
  });
}

// sum_i term(i), i < n, in the element type: 32 interleaved partial sums, halved until one is left.
template <typename T, typename Term>
T block_sum(int64_t n, const Term& term) {
  constexpr int64_t kLanes = 32;
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += term(i + j);
  }
  for (int64_t j = 0; i < n; ++i, ++j) lanes[j] += term(i);
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

}  // namespace oche::kernels
