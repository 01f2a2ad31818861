// The passes of a fused cell on a CUDA device against the references in double.
#include "kernels/cuda/graph.h"
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

template <typename T>
void write_infinity(DeviceMemory&, CudaContext& ctx, const T* at) {
  const T value = std::numeric_limits<T>::infinity();
  kernels::cuda::copy_to_device(ctx, const_cast<T*>(at), &value, sizeof value);
}
void write_infinity(HostMemory&, CudaContext&, const double* at) {
  *const_cast<double*>(at) = std::numeric_limits<double>::infinity();
}

template <typename T, typename Sources>
void forward_on_device(CudaContext& ctx,
                       DeviceMemory& memory,
                       const kernels::CellShape& shape,
                       const Sources& sources) {
  const int64_t bytes = kernels::cell_source_forward_workspace<T>(ctx, shape, sources);
  kernels::cell_source_forward<T>(ctx, shape, sources, cell_workspace<T>(memory, bytes));
}
template <typename T, typename Sources>
void backward_on_device(CudaContext& ctx,
                        DeviceMemory& memory,
                        const kernels::CellShape& shape,
                        const Sources& sources) {
  const int64_t bytes = kernels::cell_source_backward_workspace<T>(ctx, shape, sources);
  kernels::cell_source_backward<T>(ctx, shape, sources, cell_workspace<T>(memory, bytes));
}

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

TEMPLATE_TEST_CASE("cuda: forward pass of a cell's sources", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_forward<T>(ctx, memory, c); }),
                       reference_source_forward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: nodes of a cell", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellNodeCase& c : cell_node_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return node_forward<T>(ctx, memory, c); }),
                       reference_node_forward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: sums of a cell's nodes", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellNodeCase& c : cell_node_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return node_reduce<T>(ctx, memory, c); }),
                       reference_node_reduce(c));
  }
}

TEMPLATE_TEST_CASE("cuda: backward pass of a cell's sources", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_backward<T>(ctx, memory, c); }),
                       reference_source_backward(c));
  }
}

TEST_CASE("cuda: a cell's sources with rounded factors or narrow results", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  for (const CellSourcesCase& c : reduced_cell_cases()) {
    const bool large = c.shape.H > 8;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    if (large || c.shape.C > 16) continue;  // these take minutes there
#endif
    CAPTURE(text(c));
    const auto check = [&](const auto& run, const CellOutputs<double>& want) {
      DeviceMemory memory(ctx);
      // Large ones in one order, since the model shuffles lane by lane.
      check_cell_outputs(large ? run(memory) : outputs_in_every_order<float>(ctx, run), want);
    };
    check([&](auto& memory) { return source_forward<float>(ctx, memory, c); },
          reference_source_forward(c));
    check([&](auto& memory) { return source_backward<float>(ctx, memory, c); },
          reference_source_backward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: a cell's convolutions share blocks", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (int64_t stride : {1, 2}) {
    const CellSourcesCase many = state_case({24, 6, 7, 16}, stride);
    CAPTURE(stride);
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_forward<T>(ctx, memory, many); }),
                       reference_source_forward(many));
#ifdef OCHE_CUDA_HOST
    const auto threads = [&](const CellSourcesCase& c) {
      DeviceMemory memory(ctx);
      return threads_of([&] { source_forward<T>(ctx, memory, c); });
    };
    CHECK(threads(many) < 24 * threads(state_case({1, 6, 7, 16}, stride)));
#endif
  }
}

// Of a cell with four nodes and all candidates on its edges.
TEST_CASE("cuda: launches of a cell's passes", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  DeviceMemory memory(ctx);
  const auto launches = [&](const auto& pass) {
    kernels::cuda::GraphRecorder recorder(ctx);
    pass();
    return recorder.finish()->launches();
  };
  const auto forward = [&](const CellSourcesCase& c) {
    size_t count = 0;
    run_source_forward<float>(memory, c, [&](const auto& shape, const auto& sources) {
      const int64_t bytes = kernels::cell_source_forward_workspace<float>(ctx, shape, sources);
      std::byte* const workspace = cell_workspace<float>(memory, bytes);
      count = launches([&] { kernels::cell_source_forward(ctx, shape, sources, workspace); });
    });
    return count;
  };
  const auto backward = [&](const CellSourcesCase& c) {
    size_t count = 0;
    run_source_backward<float>(memory, c, [&](const auto& shape, const auto& sources) {
      const int64_t bytes = kernels::cell_source_backward_workspace<float>(ctx, shape, sources);
      std::byte* const workspace = cell_workspace<float>(memory, bytes);
      count = launches([&] { kernels::cell_source_backward(ctx, shape, sources, workspace); });
    });
    return count;
  };
  // A state that leads to `nodes` nodes, and `count` first halves of separable convolutions.
  const auto state = [](size_t nodes) {
    CellSourcesCase c = state_case({2, 8, 8, 16}, 1);
    CellSourceCase& source = c.sources[0];
    const auto convs = source.convs;
    while (source.convs.size() < nodes * convs.size()) {
      source.convs.insert(source.convs.end(), convs.begin(), convs.end());
    }
    for (CellPoolCase& pool : source.pools) pool.incoming = static_cast<int64_t>(nodes);
    source.skips = static_cast<int64_t>(nodes);
    return c;
  };
  const auto mids = [](size_t count) {
    CellSourcesCase c = mids_case({2, 8, 8, 16});
    c.sources.resize(count, c.sources[0]);
    return c;
  };
  CellSourcesCase inputs = state(4);
  inputs.sources.push_back(inputs.sources[0]);
  CHECK(forward(inputs) == 1);
  CHECK(forward(mids(16)) == 1);
  CHECK(backward(mids(10)) == 2);
  CHECK(backward(state(3)) == 2);
  CHECK(backward(inputs) == 3);
  CellNodeCase node{.shape = {2, 8, 8, 16}, .terms = {}};
  for (int i = 0; i < 35; ++i) node.terms.push_back({static_cast<CellTermKind>(i % 4)});
  run_node_forward<float>(
      memory, node, [&](const auto& shape, const auto& terms, const float* weights, auto y) {
        CHECK(launches([&] { kernels::cell_node_forward(ctx, shape, terms, weights, y); }) == 1);
      });
  run_node_reduce<float>(
      memory, node, [&](const auto& shape, const auto& terms, auto g, float* sums, float* weights) {
        const int64_t n = kernels::cell_node_reduce_workspace(ctx, shape, std::ssize(terms));
        double* const workspace = memory.put(std::vector<double>(n));
        CHECK(launches([&] {
                kernels::cell_node_reduce(ctx, shape, terms, g, sums, weights, workspace);
              }) == 1);
      });
}

// As at the entry of a cell, in several tiles of channels.
TEMPLATE_TEST_CASE("cuda: a cell's source with more channels than a tile",
                   "[cuda]",
                   float,
                   double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  for (auto [C, out] : {std::pair<int64_t, int64_t>{40, 12}, {72, 8}, {72, 132}, {67, 65}}) {
    CellSourceCase source{.moments = false, .x = {.after = 4}, .initial = true, .sums = true};
    source.convs = {{.depthwise = false, .out = out}, separable(C, 3, 1, 1)};
    const CellSourcesCase c{{2, 5, 6, C}, {source}};
    CAPTURE(text(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_forward<T>(ctx, memory, c); }),
                       reference_source_forward(c));
    check_cell_outputs(outputs_in_every_order<T>(
                           ctx, [&](auto& memory) { return source_backward<T>(ctx, memory, c); }),
                       reference_source_backward(c));
  }
}

TEMPLATE_TEST_CASE("cuda: a cell of more than a launch holds", "[cuda]", float, double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  CellSourceCase source{.moments = false, .skips = 7, .initial = true, .sums = true};
  for (int i = 0; i < 40; ++i) source.convs.push_back(separable(4, 3, 1 + i % 2, 1 + i / 2 % 2));
  for (auto pool : {kernels::CellPool::kMax, kernels::CellPool::kAverage}) {
    source.pools.push_back({.pool = pool, .stride = 1, .incoming = 60});
  }
  CellSourcesCase sources{{2, 3, 5, 4}, {source}};
  for (int i = 0; i < 12; ++i) {
    sources.sources.push_back(
        {.moments = true, .convs = {separable(4, 3, 1, 1)}, .initial = true, .sums = true});
  }
  DeviceMemory memory(ctx);
  check_cell_outputs(source_forward<T>(ctx, memory, sources), reference_source_forward(sources));
  check_cell_outputs(source_backward<T>(ctx, memory, sources), reference_source_backward(sources));
  CellNodeCase node{.shape = {2, 3, 5, 4}, .terms = {}};
  for (int i = 0; i < 150; ++i) node.terms.push_back({static_cast<CellTermKind>(i % 4)});
  check_cell_outputs(node_forward<T>(ctx, memory, node), reference_node_forward(node));
  check_cell_outputs(node_reduce<T>(ctx, memory, node), reference_node_reduce(node));
}

// Zeros that stand for what lies outside an image are multiplied like anything else.
TEMPLATE_TEST_CASE("cuda: what is not finite in a cell reaches no more pixels",
                   "[cuda]",
                   float,
                   double) {
  using T = TestType;
  OCHE_CUDA_CONTEXT(ctx);
  std::vector<CellSourcesCase> cases;
  for (int64_t stride : {1, 2}) {
    cases.push_back(state_case({2, 6, 7, 8}, stride));
    if (std::is_same_v<T, double>) continue;
    using enum kernels::CellProducts;
    for (auto products : {kTensorFloat32, kBFloat16}) {
      cases.push_back(state_case({2, 4, 8, 16, /*eps=*/0, products}, stride));
    }
  }
  for (CellSourcesCase& c : cases) {
    for (CellConvCase& conv : c.sources[0].convs) conv.moments = false;
    CAPTURE(text(c));
    const auto infinite_taps = [&](auto& memory, const auto& sources) {
      for (const auto& f : sources[0].convs) {
        if (f.conv.depthwise) write_infinity(memory, ctx, f.conv.depthwise);
      }
    };
    const auto infinite_gradients = [&](auto& memory, const auto& sources) {
      for (const auto& b : sources[0].convs) write_infinity(memory, ctx, b.incoming.g.data);
    };
    DeviceMemory memory(ctx);
    HostMemory host;
    check_cell_outputs(
        run_source_forward<T>(memory,
                              c,
                              [&](const auto& shape, const auto& sources) {
                                infinite_taps(memory, sources);
                                forward_on_device<T>(ctx, memory, shape, sources);
                              }),
        run_source_forward<double>(host, c, [&](const auto& shape, const auto& sources) {
          infinite_taps(host, sources);
          ref::cell_source_forward(shape, sources);
        }));
    const auto backward = [&](const auto& change) {
      check_cell_outputs(
          run_source_backward<T>(memory,
                                 c,
                                 [&](const auto& shape, const auto& sources) {
                                   change(memory, sources);
                                   backward_on_device<T>(ctx, memory, shape, sources);
                                 }),
          run_source_backward<double>(host, c, [&](const auto& shape, const auto& sources) {
            change(host, sources);
            ref::cell_source_backward(shape, sources);
          }));
    };
    backward(infinite_taps);
    backward(infinite_gradients);
  }
}

}  // namespace oche
