// The functions of the CUDA runtime that kernels/cuda/runtime.cpp calls, over the host's memory.
// Streams run at once what they are given, so that nothing here waits.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "tests/cuda_host/arena.h"
#include "tests/cuda_host/graph.h"
#include "tests/cuda_host/limits.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/scheduler.h"

namespace oche::cuda_host {
namespace {

struct Memory {
  std::mutex mutex;
  std::map<void*, size_t> blocks;
  uint64_t in_use = 0, peak = 0, limit = kMemoryBytes;
};
Memory& memory() {
  static Memory& all = *new Memory;  // outlives what releases memory at exit
  return all;
}

cudaError_t allocate(void** p, size_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (bytes > m.limit - m.in_use) return cudaErrorMemoryAllocation;
  *p = arena_allocate(bytes);
  if (!*p) return cudaErrorMemoryAllocation;
  const DeviceAccess access;
  std::memset(*p, 0xff, bytes);  // NaN until it is written
  m.blocks[*p] = bytes;
  m.in_use += bytes;
  m.peak = std::max(m.peak, m.in_use);
  return cudaSuccess;
}

cudaError_t release(void* p) {
  if (!p) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto found = m.blocks.find(p);
  if (found == m.blocks.end()) return cudaErrorInvalidValue;
  m.in_use -= found->second;
  arena_free(p, found->second);
  m.blocks.erase(found);
  return cudaSuccess;
}

}  // namespace

void limit_memory(uint64_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  m.limit = std::max(bytes, m.in_use);
}

}  // namespace oche::cuda_host

using oche::cuda_host::memory;

cudaError_t cudaGetDeviceCount(int* count) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible && *visible == '\0') return cudaErrorNoDevice;
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *p = {};
  std::strcpy(p->name, "emulated: execution model on the host");
  p->major = 9;
  p->minor = 0;
  p->multiProcessorCount = oche::cuda_host::kMultiprocessors;
  p->totalGlobalMem = oche::cuda_host::kMemoryBytes;
  p->sharedMemPerBlockOptin = oche::cuda_host::kSharedBytes;
  p->l2CacheSize = 256 << 10;  // there is none; who evicts it has little to do
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t code = cudaGetDeviceProperties(&p, device); code != cudaSuccess)
    return code;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      return cudaSuccess;
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  *pool = nullptr;
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  const std::lock_guard lock(memory().mutex);
  *static_cast<uint64_t*>(value) =
      attribute == cudaMemPoolAttrUsedMemHigh ? memory().peak : memory().in_use;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void*) {
  const std::lock_guard lock(memory().mutex);
  if (attribute == cudaMemPoolAttrUsedMemHigh) memory().peak = memory().in_use;
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** p, size_t bytes) {
  return oche::cuda_host::allocate(p, bytes);
}
cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  const cudaError_t code = oche::cuda_host::allocate(p, bytes);
  if (code == cudaSuccess) oche::cuda_host::keep_for_graph(*p);
  return code;
}
cudaError_t cudaFree(void* p) {
  return oche::cuda_host::release(p);
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  if (oche::cuda_host::is_recording()) {
    return oche::cuda_host::is_kept_for_graph(p) ? cudaSuccess : cudaErrorInvalidValue;
  }
  return oche::cuda_host::release(p);
}
cudaError_t cudaMemcpyAsync(
    void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  const auto copy = [=] {
    const oche::cuda_host::DeviceAccess access;
    std::memmove(to, from, bytes);
    return cudaSuccess;
  };
  return oche::cuda_host::recorded(copy) ? cudaSuccess : copy();
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  const auto fill = [=] {
    const oche::cuda_host::DeviceAccess access;
    std::memset(to, value, bytes);
    return cudaSuccess;
  };
  return oche::cuda_host::recorded(fill) ? cudaSuccess : fill();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return oche::cuda_host::is_recording() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

// An event is the moment of its last recording: by then a stream has done what it was given.
struct CUevent_st {
  std::optional<std::chrono::steady_clock::time_point> moment;
};
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->moment = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->moment || !end->moment) return cudaErrorInvalidResourceHandle;
  *milliseconds = std::chrono::duration<float, std::milli>(*end->moment - *start->moment).count();
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  return posix_memalign(p, 4096, bytes) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* p) {
  std::free(p);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0) {
    return cudaErrorInvalidValue;
  }
  return oche::cuda_host::allow_shared(kernel, static_cast<size_t>(value));
}

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    default:
      return "cudaError";
  }
}
const char* cudaGetErrorString(cudaError_t code) {
  return cudaGetErrorName(code);
}
