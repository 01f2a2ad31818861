// Dropout: a mask drawn at an address, and a product. The mask is a constant of the graph.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/ops.h"
#include "kernels/random.h"

namespace oche {

Tensor dropout(const Tensor& x, double p, RandomAddress address) {
  if (!(p >= 0 && p < 1))
    throw std::invalid_argument(fmt::format("dropout: p = {}; expected 0 <= p < 1", p));
  if (!is_floating(x.dtype())) {
    throw std::invalid_argument(
        fmt::format("dropout: dtype {}; expected f32 or f64", to_string(x.dtype())));
  }
  if (p == 0) return x;
  const Tensor mask = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch(mask, [&]<typename T>(auto& ctx) {
    kernels::dropout_mask<T>(ctx,
                             address.key,
                             random_counter(address.step, address.phase, address.step_at),
                             mask.numel(),
                             1 - p,
                             mask.mutable_data<T>());
  });
  return x * mask;
}

}  // namespace oche
