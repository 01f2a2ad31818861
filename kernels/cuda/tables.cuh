// Kernels over lists of tensors: the lists travel with the launches, a table of some dozens at a
// time; a tensor is cut into the elements that one block of threads works on.
#pragma once

#include <span>

#include "kernels/blocks.h"
#include "kernels/cuda/device.cuh"

namespace oche::kernels::cuda {

// The tensors of a launch. The parameters of a kernel are at most 4 KiB on every driver.
template <typename Entry, int kBytes = 3600>
struct Table {
  static constexpr int kEntries = kBytes / (sizeof(Entry) + sizeof(unsigned));
  int count;
  unsigned begin[kEntries + 1];  // the first block of each, and the number of all
  Entry entry[kEntries];

  // The entry that block b belongs to.
  __device__ int find(unsigned b) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (begin[middle] <= b) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
};

// body(table) for the tables that hold all tensors with elements, `per_block` elements a block.
template <typename Entry, typename Tensors, typename Body>
void for_tables(const Tensors& tensors, int64_t per_block, const Body& body) {
  Table<Entry> table;
  table.count = 0;
  table.begin[0] = 0;
  const auto flush = [&] {
    if (table.count > 0) body(table);
    table.count = 0;
  };
  for (const auto& t : tensors) {
    const Entry entry(t);
    if (entry.n == 0) continue;
    table.entry[table.count] = entry;
    const auto blocks = static_cast<unsigned>(ceil_div(entry.n, per_block));
    table.begin[table.count + 1] = table.begin[table.count] + blocks;
    if (++table.count == Table<Entry>::kEntries) flush();
  }
  flush();
}

// A group of each of a tensor's arrays is a thread's work.
template <typename T>
constexpr int kWidth = 16 / sizeof(T);
template <typename T>
constexpr int64_t kUpdateBlock = kBlockSize* kWidth<T>;

template <typename T, typename Entry, typename Update>
__global__ void __launch_bounds__(kBlockSize)
    update_kernel(const __grid_constant__ Table<Entry> table, Update update) {
  const int at = table.find(blockIdx.x);
  const Entry t = table.entry[at];
  const int64_t block = blockIdx.x - table.begin[at];
  const int64_t i = block * kUpdateBlock<T> + threadIdx.x * kWidth<T>;
  if (i < t.n) update(t, i, t.n - i);
}

template <typename T, typename Entry, typename Update>
void launch_updates(CudaContext& ctx, std::span<const Entry> tensors, const Update& update) {
  for_tables<Entry>(tensors, kUpdateBlock<T>, [&](const Table<Entry>& table) {
    CU_LAUNCH((update_kernel<T, Entry, Update>),
              table.begin[table.count],
              kBlockSize,
              0,
              ctx.stream(),
              table,
              update);
  });
}

}  // namespace oche::kernels::cuda
