// Mixed sums on the device against the CPU's.
#include <iterator>
#include <limits>
#include <memory>

#include "kernels/mixed_sum.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::CudaContext;

// K candidates of n elements and their gradients, of which the second is not wanted.
template <typename T>
struct Mixture {
  int64_t K, n;
  std::vector<std::vector<double>> x;
  std::vector<double> w, g;    // a table of more weights than there are candidates
  std::vector<int64_t> place;  // of the candidates' weights in it: in reverse, the last one shares

  Mixture(int64_t K, int64_t n) : K(K), n(n), w(integers<double>(K + 2, -3, 3, 5)) {
    for (int64_t k = 0; k < K; ++k) place.push_back(K - k);
    if (K > 3) place.back() = place[0];
    g = integers<double>(n, -3, 3, 6);
    for (int64_t k = 0; k < K; ++k) x.push_back(integers<double>(n, -3, 3, 10 + k));
  }

  // y, then the wanted gradients of x, then that of w; the latter also without each other.
  std::vector<double> on_cpu() const {
    CpuContext cpu(1);
    std::vector<const double*> in;
    std::vector<std::vector<double>> grad(K, std::vector<double>(n));
    std::vector<double*> out;
    for (int64_t k = 0; k < K; ++k) {
      in.push_back(x[k].data());
      out.push_back(k == 1 ? nullptr : grad[k].data());
    }
    std::vector<double> y(n), grad_w(w.size()), workspace(kernels::mixed_sum_workspace(K, n));
    kernels::mixed_sum_forward<double>(cpu, K, n, in.data(), w.data(), place.data(), y.data());
    kernels::mixed_sum_backward<double>(cpu,
                                        K,
                                        n,
                                        g.data(),
                                        in.data(),
                                        w.data(),
                                        place.data(),
                                        out.data(),
                                        std::ssize(w),
                                        grad_w.data(),
                                        workspace.data());
    for (int round : {0, 1}) {
      (void)round;
      for (int64_t k = 0; k < K; ++k) {
        if (out[k]) y.insert(y.end(), grad[k].begin(), grad[k].end());
      }
    }
    for (int round : {0, 1}) {
      (void)round;
      y.insert(y.end(), grad_w.begin(), grad_w.end());
    }
    return y;
  }

  // The same, from a device; `shift` elements from where vectors are aligned.
  std::vector<T> on_device(CudaContext& ctx, int64_t shift) const {
    std::vector<std::unique_ptr<DeviceArray<T>>> in, grad;
    std::vector<const T*> in_at;
    std::vector<T*> out_at;
    for (int64_t k = 0; k < K; ++k) {
      auto values = converted<T>(x[k]);
      values.insert(values.begin(), shift, T(0));
      in.push_back(std::make_unique<DeviceArray<T>>(ctx, values));
      grad.push_back(std::make_unique<DeviceArray<T>>(ctx, n + shift));
      in_at.push_back(in[k]->data() + shift);
      out_at.push_back(k == 1 ? nullptr : grad[k]->data() + shift);
    }
    const DeviceArray<T> weights(ctx, converted<T>(w)), slope(ctx, converted<T>(g));
    DeviceArray<T> y(ctx, n), grad_w(ctx, std::ssize(w)), grad_w_alone(ctx, std::ssize(w));
    kernels::mixed_sum_forward<T>(ctx, K, n, in_at.data(), weights.data(), place.data(), y.data());
    auto result = y.download();
    const auto backward = [&](const T* const* from, T* const* to, T* to_w) {
      DeviceArray<double> workspace(ctx, kernels::mixed_sum_workspace(K, n));
      kernels::mixed_sum_backward<T>(ctx,
                                     K,
                                     n,
                                     slope.data(),
                                     from,
                                     weights.data(),
                                     place.data(),
                                     to,
                                     std::ssize(w),
                                     to_w,
                                     to_w ? workspace.data() : nullptr);
    };
    const auto collect = [&] {
      for (int64_t k = 0; k < K; ++k) {
        auto values = grad[k]->download();
        if (out_at[k]) result.insert(result.end(), values.begin() + shift, values.end());
        kernels::cuda::fill_bytes(ctx, grad[k]->data(), 0xff, (n + shift) * sizeof(T));
      }
    };
    backward(in_at.data(), out_at.data(), grad_w.data());
    collect();
    backward(nullptr, out_at.data(), nullptr);
    collect();
    const std::vector<T*> none(K);
    backward(in_at.data(), none.data(), grad_w_alone.data());
    for (const auto* d : {&grad_w, &grad_w_alone}) {
      const auto values = d->download();
      result.insert(result.end(), values.begin(), values.end());
    }
    return result;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("cuda: mixed sums", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (int64_t K : {0, 1, 3, 4, 8, 33, 70}) {
    for (int64_t n : {0, 1, 5, 33, 1026, 9001}) {
      if (K > 8 && n > 1026) continue;
      CAPTURE(K, n);
      const Mixture<TestType> mixture(K, n);
      check_equal(in_every_order([&] { return mixture.on_device(ctx, 0); }), mixture.on_cpu());
    }
  }
}

TEMPLATE_TEST_CASE("cuda: mixed sums of what is not aligned", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Mixture<TestType> mixture(5, 4099);
  check_equal(mixture.on_device(ctx, 1), mixture.on_cpu());
}

TEMPLATE_TEST_CASE("cuda: a weight of zero does not hide a NaN", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  Mixture<TestType> mixture(3, 7);
  mixture.w[mixture.place[0]] = 0;
  mixture.x[0][2] = std::numeric_limits<double>::quiet_NaN();
  check_equal(mixture.on_device(ctx, 0), mixture.on_cpu());
}

}  // namespace oche
