// Work that is recorded once and then replayed: on a CUDA device one launch in place of thousands.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace oche {

// Memory on the default device for what recorded work allocates. Works that are not replayed at the
// same time may share it.
class Arena {
 public:
  // Throws OutOfMemory.
  explicit Arena(int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  int64_t bytes() const { return bytes_; }
  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  int64_t bytes_;
  std::unique_ptr<Impl> impl_;
};
// The bytes that `work` needs; walks through it dry.
int64_t arena_bytes(const std::function<void()>& work);

// Work on the default device, which is a CUDA device. It runs with the same addresses each time: it
// reads and writes tensors that are there before and after it, leaves nothing of what it allocates,
// and reads nothing back. What it does on the host it does when it is recorded, and not again.
class RecordedWork {
 public:
  // Walks through `work` and runs nothing of it on the device. Throws what `work` throws, and
  // cuda::Error where it asks for what cannot be recorded. The arena has to live as long.
  RecordedWork(const std::function<void()>& work, Arena& arena);
  ~RecordedWork();
  RecordedWork(const RecordedWork&) = delete;
  RecordedWork& operator=(const RecordedWork&) = delete;

  void replay();
  int64_t launches() const;  // kernels, copies and fills of a replay

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oche
