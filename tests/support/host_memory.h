// Arrays on the CPU, aligned as kernels like them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace oche {

class HostMemory {
 public:
  template <typename T>
  T* put(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    arrays_.emplace_back(::operator new(bytes, kAlignment));
    if (bytes > 0) std::memcpy(arrays_.back().get(), values.data(), bytes);
    return static_cast<T*>(arrays_.back().get());
  }
  template <typename T>
  std::vector<T> get(const T* data, int64_t n) const {
    return {data, data + n};
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(void* p) const { ::operator delete(p, kAlignment); }
  };
  std::vector<std::unique_ptr<void, Free>> arrays_;
};

}  // namespace oche
