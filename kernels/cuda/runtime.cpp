// Devices, streams, memory and events over the CUDA runtime.
#include "kernels/cuda/runtime.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/cuda/libraries.h"

namespace oche::kernels {
namespace cuda {
namespace {

cudaMemPool_t pool_of(int device) {
  cudaMemPool_t pool = nullptr;
  CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
  return pool;
}

uint64_t pool_attribute(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  uint64_t value = 0;
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, attribute, &value));
  return value;
}

int attribute(int device, cudaDeviceAttr which) {
  int value = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

std::string mebibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

std::string version_text(int version) {  // 1000 * major + 10 * minor
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

void fail(cudaError_t code, const char* call, const char* file, int line) {
  cudaGetLastError();  // not again at the next launch
  int device = -1;
  cudaGetDevice(&device);
  throw Error(std::string(call) + " failed on device " + std::to_string(device) + " (" + file +
              ":" + std::to_string(line) + "): " + cudaGetErrorName(code) + ": " +
              cudaGetErrorString(code));
}

cudaError_t allow_shared(const void* kernel, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  int device = 0;
  if (const cudaError_t code = cudaGetDevice(&device); code != cudaSuccess) return code;
  // Once for each size that exceeds all before: a smaller one would take back from another thread's
  // launch what it is about to use.
  static std::mutex mutex;
  static auto& allowed = *new std::map<std::pair<int, const void*>, size_t>;
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{device, kernel}];
  if (bytes <= most) return cudaSuccess;
  const int value = static_cast<int>(std::min<size_t>(bytes, 0x7fffffff));
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, value);
  if (code == cudaSuccess) most = bytes;
  return code;
}

int device_count() {
  int count = 0;  // stays as it is where there is no driver
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

std::string no_device_reason() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess) return count > 0 ? "" : "no CUDA device";
  cudaGetLastError();
  if (code == cudaErrorInsufficientDriver) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) return "no NVIDIA driver";
    return "the NVIDIA driver is for CUDA " + version_text(driver) + ", this build needs " +
           version_text(CUDART_VERSION);
  }
  return cudaGetErrorString(code);
}

DeviceProperties device_properties(int device) {
  cudaDeviceProp p;
  CUDA_CHECK(cudaGetDeviceProperties(&p, device));
  int driver = 0, runtime = 0;
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  return {.name = p.name,
          .major = p.major,
          .minor = p.minor,
          .multiprocessors = p.multiProcessorCount,
          .total_bytes = p.totalGlobalMem,
          .shared_bytes = p.sharedMemPerBlockOptin,
          .l2_bytes = p.l2CacheSize,
          .driver = driver,
          .runtime = runtime};
}

MemoryUse memory_use(const CudaContext& ctx) {
  const cudaMemPool_t pool = pool_of(ctx.device());
  return {.in_use = pool_attribute(pool, cudaMemPoolAttrUsedMemCurrent),
          .peak = pool_attribute(pool, cudaMemPoolAttrUsedMemHigh),
          .reserved = pool_attribute(pool, cudaMemPoolAttrReservedMemCurrent)};
}

void reset_peak(const CudaContext& ctx) {
  uint64_t zero = 0;  // the only value that this attribute takes
  CUDA_CHECK(cudaMemPoolSetAttribute(pool_of(ctx.device()), cudaMemPoolAttrUsedMemHigh, &zero));
}

void trim_pool(CudaContext& ctx) {
  synchronize(ctx);
  CUDA_CHECK(cudaMemPoolTrimTo(pool_of(ctx.device()), 0));
}

void* allocate(CudaContext& ctx, size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t code = cudaMallocAsync(&memory, bytes, ctx.stream());
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    const MemoryUse use = memory_use(ctx);
    throw OutOfMemory("out of memory on device cuda:" + std::to_string(ctx.device()) +
                      ": asked for " + mebibytes(bytes) + " (" + std::to_string(bytes) +
                      " bytes), in use " + mebibytes(use.in_use) + ", peak " + mebibytes(use.peak) +
                      ", held by the pool " + mebibytes(use.reserved) +
                      "; a smaller batch or fewer channels need less");
  }
  CUDA_CHECK(code);
  return memory;
}

void release(CudaContext& ctx, void* memory) noexcept {
  if (!memory) return;
  if (const cudaError_t code = cudaFreeAsync(memory, ctx.stream()); code != cudaSuccess) {
    std::fprintf(stderr, "cudaFreeAsync: %s\n", cudaGetErrorString(code));
  }
}

void copy_to_device(CudaContext& ctx, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, ctx.stream()));
  CUDA_CHECK(cudaStreamSynchronize(ctx.stream()));
}

void copy_to_host(CudaContext& ctx, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, ctx.stream()));
  CUDA_CHECK(cudaStreamSynchronize(ctx.stream()));
}

void copy_on_device(CudaContext& ctx, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, ctx.stream()));
}

void fill_bytes(CudaContext& ctx, void* to, uint8_t value, size_t bytes) {
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemsetAsync(to, value, bytes, ctx.stream()));
}

void synchronize(CudaContext& ctx) {
  CUDA_CHECK(cudaStreamSynchronize(ctx.stream()));
}

Event::Event() {
  CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDefault));
}
Event::~Event() {
  cudaEventDestroy(event_);
}
void Event::record(CudaContext& ctx) {
  CUDA_CHECK(cudaEventRecord(event_, ctx.stream()));
}
void Event::wait() const {
  CUDA_CHECK(cudaEventSynchronize(event_));
}
void Event::delay(CudaContext& ctx) const {
  CUDA_CHECK(cudaStreamWaitEvent(ctx.stream(), event_, 0));
}
double Event::milliseconds_to(const Event& end) const {
  end.wait();
  float milliseconds = 0;
  CUDA_CHECK(cudaEventElapsedTime(&milliseconds, event_, end.event_));
  return milliseconds;
}

PinnedBuffer::PinnedBuffer(size_t size) : size_(size) {
  if (size > 0) CUDA_CHECK(cudaHostAlloc(&data_, size, cudaHostAllocDefault));
}
PinnedBuffer::~PinnedBuffer() {
  cudaFreeHost(data_);
}

void copy_to_device_async(
    CudaContext& ctx, void* to, const PinnedBuffer& from, size_t offset, size_t bytes) {
  if (offset > from.size() || bytes > from.size() - offset) {
    throw std::invalid_argument("copy_to_device_async: bytes " + std::to_string(offset) + " to " +
                                std::to_string(offset) + " + " + std::to_string(bytes) +
                                " of a buffer of " + std::to_string(from.size()));
  }
  if (bytes == 0) return;
  const auto* start = static_cast<const char*>(from.data()) + offset;
  CUDA_CHECK(cudaMemcpyAsync(to, start, bytes, cudaMemcpyHostToDevice, ctx.stream()));
}

}  // namespace cuda

CudaContext::CudaContext(int device)
    : device_(device), libraries_(std::make_unique<cuda::Libraries>(*this)) {
  const int count = cuda::device_count();
  if (device < 0 || device >= count) {
    throw std::invalid_argument(
        "cuda:" + std::to_string(device) + ": " +
        (count == 0 ? cuda::no_device_reason()
                    : "there are " + std::to_string(count) + " CUDA devices, from 0"));
  }
  make_current();
  multiprocessors_ = cuda::attribute(device, cudaDevAttrMultiProcessorCount);
  shared_bytes_ = cuda::attribute(device, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  uint64_t all = ~uint64_t{0};
  CUDA_CHECK(cudaMemPoolSetAttribute(cuda::pool_of(device), cudaMemPoolAttrReleaseThreshold, &all));
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  const size_t words = 1 + kTickets;
  cudaError_t code = cudaMalloc(&answer_, words * sizeof(int));
  if (code == cudaSuccess) code = cudaMemsetAsync(answer_, 0, words * sizeof(int), stream_);
  if (code != cudaSuccess) {
    cudaFree(answer_);
    cudaStreamDestroy(stream_);
    CUDA_CHECK(code);
  }
}

CudaContext::~CudaContext() {
  libraries_.reset();  // its handles use the stream
  cudaFree(answer_);
  cudaStreamDestroy(stream_);
}

void CudaContext::make_current() const {
  CUDA_CHECK(cudaSetDevice(device_));
}

}  // namespace oche::kernels
