// Where rows run: kernels are overloaded on the context, so a row's code serves every device.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "engine/dispatch.h"

#ifdef OCHE_HAVE_CUDA
#include "kernels/cuda/libraries.h"
#endif

namespace oche::bench {

inline bool on_cuda() {
  return default_device().type == DeviceType::kCuda;
}

// Who computes a row of a kernel on a CUDA device: our kernel, or cuBLAS or cuDNN in its place.
enum class By { kOwnKernels, kLibraries };

#ifdef OCHE_HAVE_CUDA
class ChosenLibraries {
 public:
  ChosenLibraries(kernels::CudaContext& ctx, By by)
      : libraries_(ctx.libraries()), before_(libraries_.use()) {
    libraries_.set_use(by == By::kOwnKernels ? kernels::cuda::LibraryUse::kNone
                                             : kernels::cuda::LibraryUse::kAlways);
  }
  ~ChosenLibraries() { libraries_.set_use(before_); }
  ChosenLibraries(const ChosenLibraries&) = delete;
  ChosenLibraries& operator=(const ChosenLibraries&) = delete;

 private:
  kernels::cuda::Libraries& libraries_;
  const kernels::cuda::LibraryUse before_;
};
#endif

// What calls f(context) with the context of the default device, and nothing in a dry run.
template <typename F>
std::function<void()> launch(F f, By by = By::kOwnKernels) {
  return [f = std::move(f), by] {
    if (DryRun::active()) return;
    with_context(default_device(), [&]<typename Context>(Context& ctx) {
#ifdef OCHE_HAVE_CUDA
      if constexpr (std::is_same_v<Context, kernels::CudaContext>) {
        const ChosenLibraries chosen(ctx, by);
        f(ctx);
        return;
      }
#endif
      f(ctx);
    });
  };
}

}  // namespace oche::bench
