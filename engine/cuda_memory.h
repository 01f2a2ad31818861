// Buffers of a CUDA device: from its stream-ordered pool, or from an arena while work is recorded.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "engine/arena.h"
#include "engine/memory.h"
#include "kernels/cuda/runtime.h"

namespace oche {

class CudaMemory final : public DeviceMemory {
 public:
  explicit CudaMemory(int index);

  // Arenas that buffers may lie in, and the one that they come from now; nullptr: the pool.
  void add(ArenaLayout& arena);
  void remove(ArenaLayout& arena);
  void use(ArenaLayout* arena);

 private:
  std::pair<int64_t, std::byte*> take(int64_t bytes, bool dry) override;
  void give_back(int64_t bytes, int64_t address, std::byte* data) override;
  bool is_counted(const std::byte* data) const override;
  int64_t extent() const override { return extent_ + dry_.end(); }
  void drop_unused() override { kernels::cuda::trim_pool(context_); }
  int64_t capacity() const override { return capacity_; }

  kernels::CudaContext& context_;
  const int64_t capacity_;
  int64_t extent_ = 0;  // of the pool
  AddressSpace dry_;    // lays out a dry run as an arena would be
  std::vector<ArenaLayout*> arenas_;
  ArenaLayout* arena_ = nullptr;
  std::vector<std::byte*> to_release_;  // of the pool, once nothing is recorded
};

CudaMemory& cuda_device_memory(int index);

}  // namespace oche
