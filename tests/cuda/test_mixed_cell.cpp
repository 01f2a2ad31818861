// The passes of a fused cell on a CUDA device against the references in double.
#include "kernels/mixed_cell.h"
#include "tests/cuda/device.h"
#include "tests/support/mixed_cell_check.h"

namespace oche {
namespace {

using kernels::CellTermKind;
using kernels::CudaContext;

// Of a device, for mixed_cell_check.h.
class DeviceMemory {
 public:
  explicit DeviceMemory(CudaContext& ctx) : ctx_(ctx) {}

  template <typename T>
  T* put(const std::vector<T>& values) {
    auto array = std::make_shared<DeviceArray<T>>(ctx_, values);
    arrays_.push_back(array);
    return array->data();
  }
  template <typename T>
  std::vector<T> get(const T* data, int64_t n) const {
    std::vector<T> values(n);
    kernels::cuda::copy_to_host(ctx_, values.data(), data, n * sizeof(T));
    return values;
  }

 private:
  CudaContext& ctx_;
  std::vector<std::shared_ptr<void>> arrays_;
};

// run(memory) in every order; the outputs of the first.
template <typename T, typename Run>
CellOutputs<T> outputs_in_every_order(CudaContext& ctx, const Run& run) {
  CellOutputs<T> first;
  in_every_order([&] {
    DeviceMemory memory(ctx);
    const CellOutputs<T> outputs = run(memory);
    if (first.empty()) first = outputs;
    return flat(outputs);
  });
  return first;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: sources of a cell, forward", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_forward<T>(ctx, memory, c); }),
                       reference_source_forward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: nodes of a cell, forward", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellNodeCase& c : cell_node_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return node_forward<T>(ctx, memory, c); }),
                       reference_node_forward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: nodes of a cell, sums of their gradient", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellNodeCase& c : cell_node_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return node_reduce<T>(ctx, memory, c); }),
                       reference_node_reduce(c));
  }
}

TEMPLATE_TEST_CASE("cuda: sources of a cell, backward", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_backward<T>(ctx, memory, c); }),
                       reference_source_backward(c));
  }
}

}  // namespace oche
