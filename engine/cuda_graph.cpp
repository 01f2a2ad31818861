// Recorded work as CUDA graphs.
#include <stdexcept>

#include "engine/cuda_memory.h"
#include "engine/device.h"
#include "engine/graph.h"
#include "engine/tensor.h"
#include "kernels/cuda/graph.h"

namespace oche {

struct Arena::Impl {
  explicit Impl(int64_t bytes)
      : device(default_device()),
        buffer(Storage::allocate(bytes, device)),
        layout(buffer->data(), bytes) {
    cuda_device_memory(device.index).add(layout);
  }
  ~Impl() { cuda_device_memory(device.index).remove(layout); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Device device;
  std::shared_ptr<Storage> buffer;
  ArenaLayout layout;
};

Arena::Arena(int64_t bytes) : bytes_(bytes), impl_(std::make_unique<Impl>(bytes)) {}
Arena::~Arena() = default;

struct RecordedWork::Impl {
  kernels::CudaContext& context;
  std::unique_ptr<kernels::cuda::Graph> graph;
};

namespace {

// Buffers come from the arena for a scope.
class UseArena {
 public:
  UseArena(CudaMemory& memory, ArenaLayout& arena) : memory_(memory) { memory_.use(&arena); }
  ~UseArena() { memory_.use(nullptr); }
  UseArena(const UseArena&) = delete;
  UseArena& operator=(const UseArena&) = delete;

 private:
  CudaMemory& memory_;
};

}  // namespace

int64_t arena_bytes(const std::function<void()>& work) {
  const DryRun dry_run;
  const MemoryStats earlier = memory_stats();
  reset_peak_memory();
  const int64_t before = memory_stats().peak_extent;
  work();
  const int64_t bytes = memory_stats().peak_extent - before;
  set_peak_memory(earlier);
  return bytes;
}

RecordedWork::RecordedWork(const std::function<void()>& work, Arena& arena)
    : impl_(new Impl{cuda_context(arena.impl().device.index), nullptr}) {
  const UseArena use(cuda_device_memory(arena.impl().device.index), arena.impl().layout);
  {
    kernels::cuda::GraphRecorder recorder(impl_->context);
    work();
    impl_->graph = recorder.finish();
  }
  if (!arena.impl().layout.is_empty()) {
    throw std::logic_error("recorded work leaves tensors in memory that the next one uses");
  }
}

RecordedWork::~RecordedWork() = default;

int64_t RecordedWork::launches() const {
  return static_cast<int64_t>(impl_->graph->launches());
}

void RecordedWork::replay() {
  impl_->graph->launch(impl_->context);
}

}  // namespace oche
