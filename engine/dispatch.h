// From a tensor's dtype and device to a kernel: the one place where the two are looked at. In a dry
// run no kernel is reached, so that an op's forward() can be walked through for the memory it
// allocates.
#pragma once

#include <fmt/format.h>

#include <stdexcept>

#include "engine/device.h"
#include "engine/op.h"
#include "engine/runtime.h"
#include "engine/tensor.h"

namespace oche {

// f(context) for the context of `device`, in a dry run too: for what a back end decides without
// running anything, such as the size of a workspace. Overload resolution on the context picks the
// back end.
template <typename F>
auto with_context(Device device, F&& f) {
  switch (device.type) {
    case DeviceType::kCpu:
      return f(cpu_context());
    case DeviceType::kCuda:
#ifdef OCHE_HAVE_CUDA
      return f(cuda_context(device.index));
#else
      break;
#endif
  }
  throw std::invalid_argument(
      fmt::format("{}: this build has no back end for device {}", current_op(), to_string(device)));
}

// Calls f.operator()<T>(context).
template <typename T, typename F>
void dispatch_device(Device device, F&& f) {
  if (DryRun::active()) return;
  with_context(device, [&](auto& ctx) { f.template operator()<T>(ctx); });
}

// For f32 and f64; throws for others.
template <typename F>
void dispatch(const Tensor& t, F&& f) {
  switch (t.dtype()) {
    case DType::kFloat32:
      return dispatch_device<float>(t.device(), f);
    case DType::kFloat64:
      return dispatch_device<double>(t.device(), f);
    default:
      break;
  }
  throw std::invalid_argument(
      fmt::format("{}: dtype {}; expected f32 or f64", current_op(), to_string(t.dtype())));
}

// For every dtype.
template <typename F>
void dispatch_any(const Tensor& t, F&& f) {
  switch (t.dtype()) {
    case DType::kInt64:
      return dispatch_device<int64_t>(t.device(), f);
    case DType::kUInt8:
      return dispatch_device<uint8_t>(t.device(), f);
    default:
      return dispatch(t, f);
  }
}

}  // namespace oche
