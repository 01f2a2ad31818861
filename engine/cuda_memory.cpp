// Buffers of a CUDA device.
#include "engine/cuda_memory.h"

#include <algorithm>

#include "engine/device.h"

namespace oche {
namespace {

int64_t footprint(int64_t bytes) {
  constexpr int64_t kAlignment = 512;  // the pool's
  return std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
}

}  // namespace

CudaMemory::CudaMemory(int index)
    : context_(cuda_context(index)),
      capacity_(static_cast<int64_t>(kernels::cuda::device_properties(index).total_bytes)) {}

void CudaMemory::add(ArenaLayout& arena) {
  arenas_.push_back(&arena);
}
void CudaMemory::remove(ArenaLayout& arena) {
  std::erase(arenas_, &arena);
}
void CudaMemory::use(ArenaLayout* arena) {
  arena_ = arena;
  if (arena) return;
  for (std::byte* data : to_release_) kernels::cuda::release(context_, data);
  to_release_.clear();
}

std::pair<int64_t, std::byte*> CudaMemory::take(int64_t bytes, bool dry) {
  if (dry) return {dry_.allocate(ArenaLayout::footprint(bytes)), nullptr};
  if (arena_) return {0, arena_->allocate(bytes)};
  const int64_t size = footprint(bytes);
  if (extent_ + size > current_limit()) return {0, nullptr};
  void* data = nullptr;
  try {
    data = kernels::cuda::allocate(context_, static_cast<size_t>(size));
  } catch (const kernels::cuda::OutOfMemory&) {
    return {0, nullptr};  // the caller says so, with the op and what tensors hold
  }
  extent_ += size;
  return {0, static_cast<std::byte*>(data)};
}

bool CudaMemory::is_counted(const std::byte* data) const {
  return std::ranges::none_of(arenas_, [&](const auto* arena) { return arena->contains(data); });
}

void CudaMemory::give_back(int64_t bytes, int64_t address, std::byte* data) {
  if (!data) return dry_.free(address, ArenaLayout::footprint(bytes));
  for (ArenaLayout* arena : arenas_) {
    if (arena->contains(data)) return arena->free(data, bytes);
  }
  extent_ -= footprint(bytes);
  if (arena_) {
    to_release_.push_back(data);  // it is no part of what is recorded
  } else {
    kernels::cuda::release(context_, data);
  }
}

}  // namespace oche
