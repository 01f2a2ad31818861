// Convolutions by cuDNN.
#include "kernels/cuda/libraries.h"

#ifdef OCHE_HAVE_CUDNN
#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "kernels/cuda/cudnn_api.h"
#include "kernels/cuda/library_support.h"
#include "kernels/elementwise.h"

namespace oche::kernels::cuda {
namespace {

bool unsupported(cudnnStatus_t code) {
  return CUDNN_STATUS_CATEGORY(code) == CUDNN_STATUS_NOT_SUPPORTED;
}

int narrow(int64_t value) {  // for_conv2d() has seen to it that it fits
  return static_cast<int>(value);
}

// The descriptors of a convolution, and what is known of its three passes.
struct Plan {
  explicit Plan(const Conv2dShape& s) {
    x = tensor(s.N, s.C, s.H, s.W);
    y = tensor(s.N, s.out_C, s.out_h(), s.out_w());
    cudnnFilterDescriptor_t filter = nullptr;
    CUDNN_CHECK(cudnn().cudnnCreateFilterDescriptor(&filter));
    w.reset(filter);
    // NHWC of a filter is (out, kernel_h, kernel_w, in).
    CUDNN_CHECK(cudnn().cudnnSetFilter4dDescriptor(filter,
                                                   CUDNN_DATA_FLOAT,
                                                   CUDNN_TENSOR_NHWC,
                                                   narrow(s.out_C),
                                                   narrow(s.C),
                                                   narrow(s.kernel_h),
                                                   narrow(s.kernel_w)));
    cudnnConvolutionDescriptor_t convolution = nullptr;
    CUDNN_CHECK(cudnn().cudnnCreateConvolutionDescriptor(&convolution));
    conv.reset(convolution);
    const int padding = narrow(s.padding), stride = narrow(s.stride), dilation = narrow(s.dilation);
    CUDNN_CHECK(cudnn().cudnnSetConvolution2dDescriptor(convolution,
                                                        padding,
                                                        padding,
                                                        stride,
                                                        stride,
                                                        dilation,
                                                        dilation,
                                                        CUDNN_CROSS_CORRELATION,
                                                        CUDNN_DATA_FLOAT));
    CUDNN_CHECK(cudnn().cudnnSetConvolutionMathType(convolution, CUDNN_FMA_MATH));  // no TF32
  }

  static CudnnOwned<cudnnTensorStruct> tensor(int64_t N, int64_t C, int64_t H, int64_t W) {
    cudnnTensorDescriptor_t made = nullptr;
    CUDNN_CHECK(cudnn().cudnnCreateTensorDescriptor(&made));
    CudnnOwned<cudnnTensorStruct> owned(made);
    CUDNN_CHECK(cudnn().cudnnSetTensor4dDescriptor(
        made, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, narrow(N), narrow(C), narrow(H), narrow(W)));
    return owned;
  }

  CudnnOwned<cudnnTensorStruct> x, y;
  CudnnOwned<cudnnFilterStruct> w;
  CudnnOwned<cudnnConvolutionStruct> conv;
  // Of its algorithms, those before this one are not supported; the workspace, once it is known.
  struct Pass {
    size_t algorithm = 0;
    std::optional<size_t> workspace_bytes = {};
  };
  Pass forward, input_grad, weight_grad;
};

// cuDNN's kernels load vectors, while a slice of a tensor may begin anywhere.
bool at_vector(const float* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}
size_t copy_bytes(const float* p, int64_t n) {
  return at_vector(p) ? 0 : n * sizeof(float);
}

class AlignedInput {
 public:
  AlignedInput(CudaContext& ctx, const float* p, int64_t n) : p_(p), copy_(ctx, copy_bytes(p, n)) {
    if (!at_vector(p)) copy_on_device(ctx, copy_.data(), p, n * sizeof(float));
  }
  const void* data() const { return at_vector(p_) ? p_ : copy_.data(); }

 private:
  const float* p_;
  Scratch copy_;
};

class AlignedOutput {
 public:
  AlignedOutput(CudaContext& ctx, float* p, int64_t n)
      : ctx_(ctx), p_(p), n_(n), copy_(ctx, copy_bytes(p, n)) {}
  void* data() const { return at_vector(p_) ? p_ : copy_.data(); }
  // After a call that wrote to data() and returned `code`, which is passed on.
  cudnnStatus_t deliver(cudnnStatus_t code) const {
    if (code == CUDNN_STATUS_SUCCESS && !at_vector(p_)) {
      copy_on_device(ctx_, p_, copy_.data(), n_ * sizeof(float));
    }
    return code;
  }

 private:
  CudaContext& ctx_;
  float* p_;
  int64_t n_;
  Scratch copy_;
};

// Weights as cuDNN reads them. Ours are (kernel_h, kernel_w, in, out), a filter is (out, kernel_h,
// kernel_w, in): the transpose of a matrix with a column for each output.
class Filter {
 public:
  Filter(CudaContext& ctx, const Conv2dShape& s)
      : ctx_(ctx), shape_{weight_size(s) / s.out_C, s.out_C}, memory_(ctx, bytes()) {}
  void* data() const { return memory_.data(); }

  void take(const float* w) const {
    const int64_t ours[] = {shape_[1], 1}, theirs[] = {1, shape_[0]};
    copy_strided(ctx_, shape_, w, ours, static_cast<float*>(data()), theirs);
  }
  cudnnStatus_t deliver(cudnnStatus_t code, float* w) const {  // as AlignedOutput's
    if (code != CUDNN_STATUS_SUCCESS) return code;
    const int64_t ours[] = {shape_[1], 1}, theirs[] = {1, shape_[0]};
    copy_strided(ctx_, shape_, static_cast<const float*>(data()), theirs, w, ours);
    return code;
  }

 private:
  size_t bytes() const { return shape_[0] * shape_[1] * sizeof(float); }

  CudaContext& ctx_;
  int64_t shape_[2];
  Scratch memory_;
};

// Fixed algorithms, all of them deterministic (cudnn_ops.h marks those that are not), rather than
// what a search or cuDNN's heuristics would choose: the bits follow from the shape.
constexpr cudnnConvolutionFwdAlgo_t kForward[] = {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                                  CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM};
constexpr cudnnConvolutionBwdDataAlgo_t kInputGrad[] = {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1};
constexpr cudnnConvolutionBwdFilterAlgo_t kWeightGrad[] = {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1};

constexpr float kOne = 1, kZero = 0;

class Cudnn final : public ConvLibrary {
 public:
  explicit Cudnn(CudaContext& ctx) : ctx_(ctx) {
    cudnnHandle_t handle = nullptr;
    CUDNN_CHECK(cudnn().cudnnCreate(&handle));
    handle_.reset(handle);
    CUDNN_CHECK(cudnn().cudnnSetStream(handle, ctx.stream()));
  }

  bool forward(const Conv2dShape& s, const float* x, const float* w, float* y) override {
    Plan& plan = plan_for(s);
    return run(
        plan.forward,
        kForward,
        [&](auto algorithm, size_t* bytes) {
          return cudnn().cudnnGetConvolutionForwardWorkspaceSize(handle_.get(),
                                                                 plan.x.get(),
                                                                 plan.w.get(),
                                                                 plan.conv.get(),
                                                                 plan.y.get(),
                                                                 algorithm,
                                                                 bytes);
        },
        [&](auto algorithm, void* workspace, size_t bytes) {
          const AlignedInput from(ctx_, x, input_size(s));
          const Filter filter(ctx_, s);
          filter.take(w);
          const AlignedOutput to(ctx_, y, output_size(s));
          return to.deliver(cudnn().cudnnConvolutionForward(handle_.get(),
                                                            &kOne,
                                                            plan.x.get(),
                                                            from.data(),
                                                            plan.w.get(),
                                                            filter.data(),
                                                            plan.conv.get(),
                                                            algorithm,
                                                            workspace,
                                                            bytes,
                                                            &kZero,
                                                            plan.y.get(),
                                                            to.data()));
        });
  }

  bool input_grad(const Conv2dShape& s,
                  const float* grad_y,
                  const float* w,
                  float* grad_x) override {
    Plan& plan = plan_for(s);
    return run(
        plan.input_grad,
        kInputGrad,
        [&](auto algorithm, size_t* bytes) {
          return cudnn().cudnnGetConvolutionBackwardDataWorkspaceSize(handle_.get(),
                                                                      plan.w.get(),
                                                                      plan.y.get(),
                                                                      plan.conv.get(),
                                                                      plan.x.get(),
                                                                      algorithm,
                                                                      bytes);
        },
        [&](auto algorithm, void* workspace, size_t bytes) {
          const AlignedInput from(ctx_, grad_y, output_size(s));
          const Filter filter(ctx_, s);
          filter.take(w);
          const AlignedOutput to(ctx_, grad_x, input_size(s));
          return to.deliver(cudnn().cudnnConvolutionBackwardData(handle_.get(),
                                                                 &kOne,
                                                                 plan.w.get(),
                                                                 filter.data(),
                                                                 plan.y.get(),
                                                                 from.data(),
                                                                 plan.conv.get(),
                                                                 algorithm,
                                                                 workspace,
                                                                 bytes,
                                                                 &kZero,
                                                                 plan.x.get(),
                                                                 to.data()));
        });
  }

  bool weight_grad(const Conv2dShape& s,
                   const float* x,
                   const float* grad_y,
                   float* grad_w) override {
    Plan& plan = plan_for(s);
    return run(
        plan.weight_grad,
        kWeightGrad,
        [&](auto algorithm, size_t* bytes) {
          return cudnn().cudnnGetConvolutionBackwardFilterWorkspaceSize(handle_.get(),
                                                                        plan.x.get(),
                                                                        plan.y.get(),
                                                                        plan.conv.get(),
                                                                        plan.w.get(),
                                                                        algorithm,
                                                                        bytes);
        },
        [&](auto algorithm, void* workspace, size_t bytes) {
          const AlignedInput input(ctx_, x, input_size(s)), output(ctx_, grad_y, output_size(s));
          const Filter filter(ctx_, s);
          return filter.deliver(cudnn().cudnnConvolutionBackwardFilter(handle_.get(),
                                                                       &kOne,
                                                                       plan.x.get(),
                                                                       input.data(),
                                                                       plan.y.get(),
                                                                       output.data(),
                                                                       plan.conv.get(),
                                                                       algorithm,
                                                                       workspace,
                                                                       bytes,
                                                                       &kZero,
                                                                       plan.w.get(),
                                                                       filter.data()),
                                grad_w);
        });
  }

 private:
  using Key = std::array<int64_t, 10>;

  Plan& plan_for(const Conv2dShape& s) {
    const Key key = {
        s.N, s.H, s.W, s.C, s.kernel_h, s.kernel_w, s.out_C, s.stride, s.padding, s.dilation};
    return plans_.try_emplace(key, s).first->second;
  }

  // By the first of `algorithms` that cuDNN supports; false iff it supports none.
  template <typename Algorithm, size_t N, typename Query, typename Compute>
  bool run(Plan::Pass& pass,
           const Algorithm (&algorithms)[N],
           const Query& query,
           const Compute& compute) {
    for (; pass.algorithm < N; ++pass.algorithm, pass.workspace_bytes.reset()) {
      const Algorithm algorithm = algorithms[pass.algorithm];
      if (!pass.workspace_bytes) {
        size_t bytes = 0;
        const cudnnStatus_t code = query(algorithm, &bytes);
        if (unsupported(code)) continue;
        CUDNN_CHECK(code);
        pass.workspace_bytes = bytes;
      }
      const Scratch workspace(ctx_, *pass.workspace_bytes);
      const cudnnStatus_t code = compute(algorithm, workspace.data(), *pass.workspace_bytes);
      if (unsupported(code)) continue;
      CUDNN_CHECK(code);
      return true;
    }
    return false;
  }

  CudaContext& ctx_;
  CudnnOwned<cudnnContext> handle_;
  std::map<Key, Plan> plans_;
};

}  // namespace

std::unique_ptr<ConvLibrary> make_cudnn(CudaContext& ctx) {
  return std::make_unique<Cudnn>(ctx);
}

}  // namespace oche::kernels::cuda

#else

namespace oche::kernels::cuda {

std::unique_ptr<ConvLibrary> make_cudnn(CudaContext&) {
  return nullptr;
}

}  // namespace oche::kernels::cuda

#endif
