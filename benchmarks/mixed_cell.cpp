// Rows of the passes of a fused cell.
#include "kernels/mixed_cell.h"

#include <memory>

#include "benchmarks/engine_case.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "tests/support/mixed_cell_arrays.h"

namespace oche::bench {
namespace {

// Arrays in the memory of the default device.
class RowMemory {
 public:
  template <typename T>
  T* put(const std::vector<T>& values) {
    if (!on_cuda()) return host_.put(values);
    device_.push_back(on_default_device(values.data(), values.size() * sizeof(T)));
    return static_cast<T*>(device_.back().get());
  }
  template <typename T>
  std::vector<T> get(const T* data, int64_t n) const {
    std::vector<T> values(n);
    copy_bytes({}, values.data(), default_device(), data, n * int64_t{sizeof(T)});
    return values;
  }
  template <typename T>
  T* workspace(int64_t n) {
    return put(std::vector<T>(n));
  }

 private:
  HostMemory host_;
  std::vector<std::shared_ptr<void>> device_;
};

template <typename T>
struct Arrays {
  explicit Arrays(bool narrow) : arrays(memory, narrow) {}
  RowMemory memory;
  CellArrays<T, RowMemory> arrays;
};

template <typename T>
Check check_outputs(const Arrays<T>& a, const CellOutputs<double>& want, bool reduced = false) {
  // Whether a factor is rounded up or down may hang on the last bit of what it was made of.
  constexpr double kOfFactors = 5e-3;
  const CellOutputs<T> got = a.arrays.read();
  std::vector<Check> checks;
  for (size_t i = 0; i < got.size(); ++i) {
    const double tolerance = std::max(reduced ? kOfFactors : 0, cell_tolerance<T>(want[i]));
    checks.push_back({cell_error(got[i], want[i]), tolerance, "naive float64 reference"});
  }
  return worst(checks);
}

kernels::CellShape cell_shape(const Arguments& a) {
  return {a["n"], a["h"], a["w"], a["c"]};
}
bool is_narrow(const Arguments& a) {
  return row_precision(a) == Precision::kBFloat16;
}

// Elements that a source's convolutions and pools read or write, `kept` of them those that are
// normalised, and their multiply-adds.
struct Work {
  double elements = 0, kept = 0, macs = 0;

  template <typename T>
  double bytes(bool narrow) const {
    const bool halved = narrow && sizeof(T) == sizeof(float);
    return (elements + kept * (halved ? 0.5 : 1)) * sizeof(T);
  }
};
Work work_of(const CellSourcesCase& c, bool backward) {
  const kernels::CellShape& s = c.shape;
  Work work;
  for (const CellSourceCase& source : c.sources) {
    const auto state = static_cast<double>(volume({s.N, s.H, s.W, s.C}));
    (source.moments ? work.kept : work.elements) += state;
    if (backward) work.elements += state * (source.initial ? 2 : 1);
    for (const CellConvCase& f : source.convs) {
      const auto M = static_cast<double>(pixels(s, f.stride)), C = static_cast<double>(s.C);
      const double taps = f.depthwise ? static_cast<double>(f.kernel * f.kernel) : 0;
      const auto out = static_cast<double>(f.out);
      work.kept += M * out;
      work.elements += (backward ? M * out : 0) + taps * C + C * out;
      work.macs += M * (taps * C + C * out) * (backward && f.grad_pointwise ? 2 : 1);
    }
    for (const CellPoolCase& f : source.pools) {
      const auto values = static_cast<double>(pixels(s, f.stride) * s.C);
      if (backward) work.elements += values * static_cast<double>(f.incoming);
      if (!backward && f.y) work.kept += values;
    }
    work.elements += state * static_cast<double>(backward ? source.skips : 0);
  }
  return work;
}

bool is_reduced(const CellSourcesCase& c) {
  return c.shape.products != kernels::CellProducts::kExact;
}

template <typename T>
Case forward_case(const CellSourcesCase& c) {
  const auto a = std::make_shared<Arrays<T>>(c.narrow);
  const auto sources = forward_sources(a->arrays, c);
  std::byte* workspace =
      a->memory.template workspace<std::byte>(with_context(default_device(), [&](auto& ctx) {
        return kernels::cell_source_forward_workspace<T>(ctx, c.shape, sources);
      }));
  const Work work = work_of(c, false);
  return {.run = launch([=](auto& ctx) {
            kernels::cell_source_forward<T>(ctx, c.shape, sources, workspace);
          }),
          .check = [=] { return check_outputs(*a, reference_source_forward(c), is_reduced(c)); },
          .bytes = work.bytes<T>(c.narrow),
          .flops = 2 * work.macs};
}

template <typename T>
Case backward_case(const CellSourcesCase& c) {
  const auto a = std::make_shared<Arrays<T>>(c.narrow);
  const auto sources = backward_sources(a->arrays, c);
  std::byte* workspace =
      a->memory.template workspace<std::byte>(with_context(default_device(), [&](auto& ctx) {
        return kernels::cell_source_backward_workspace<T>(ctx, c.shape, sources);
      }));
  const Work work = work_of(c, true);
  return {.run = launch([=](auto& ctx) {
            kernels::cell_source_backward<T>(ctx, c.shape, sources, workspace);
          }),
          .check = [=] { return check_outputs(*a, reference_source_backward(c), is_reduced(c)); },
          .bytes = work.bytes<T>(c.narrow),
          .flops = 2 * work.macs};
}

// A node with `edges` incoming edges of all candidates.
CellNodeCase node_case(const Arguments& a) {
  using kernels::CellTermKind;
  CellNodeCase node{.shape = cell_shape(a), .terms = {}, .y = {.before = 0, .after = 3 * a["c"]}};
  for (int64_t edge = 0; edge < a["edges"]; ++edge) {
    for (CellTermKind kind :
         {CellTermKind::kMaxPool, CellTermKind::kAveragePool, CellTermKind::kIdentity})
      node.terms.push_back({kind});
    for (int conv = 0; conv < 4; ++conv) node.terms.push_back({CellTermKind::kNormalised});
  }
  node.narrow = is_narrow(a);
  return node;
}
// An edge is four results of convolutions and its state, read once.
Work node_work(const Arguments& a) {
  const auto image = static_cast<double>(image_size(a)), edges = static_cast<double>(a["edges"]);
  return {.elements = image * (edges + 1), .kept = image * 4 * edges};
}
// Windows of nine for two pools, a difference and a multiply-add for each term.
double node_flops(const Arguments& a) {
  return static_cast<double>(image_size(a) * a["edges"] * (2 * 9 + 7 * 3));
}

template <typename T>
Case node_forward_case(const Arguments& arguments) {
  const CellNodeCase c = node_case(arguments);
  const auto a = std::make_shared<Arrays<T>>(c.narrow);
  const auto terms = node_terms(a->arrays, c);
  const auto rest = node_forward_arguments(a->arrays, c);
  return {.run = launch([=](auto& ctx) {
            kernels::cell_node_forward<T>(ctx, c.shape, terms, rest.weights, rest.y);
          }),
          .check = [=] { return check_outputs(*a, reference_node_forward(c)); },
          .bytes = node_work(arguments).bytes<T>(c.narrow),
          .flops = node_flops(arguments)};
}

template <typename T>
Case node_reduce_case(const Arguments& arguments) {
  const CellNodeCase c = node_case(arguments);
  const auto a = std::make_shared<Arrays<T>>(c.narrow);
  const auto terms = node_terms(a->arrays, c);
  const auto rest = node_reduce_arguments(a->arrays, c);
  double* workspace =
      a->memory.template workspace<double>(with_context(default_device(), [&](auto& ctx) {
        return kernels::cell_node_reduce_workspace(
            ctx, c.shape, static_cast<int64_t>(c.terms.size()));
      }));
  return {.run = launch([=](auto& ctx) {
            kernels::cell_node_reduce<T>(
                ctx, c.shape, terms, rest.g, rest.sums, rest.grad_weights, workspace);
          }),
          .check = [=] { return check_outputs(*a, reference_node_reduce(c)); },
          .bytes = node_work(arguments).bytes<T>(c.narrow),
          .flops = node_flops(arguments)};
}

void reduce(const Arguments& a, CellSourcesCase& c) {
  c.shape.products = static_cast<kernels::CellProducts>(row_precision(a));
  c.narrow = is_narrow(a);
}

// A state with `edges` outgoing edges of all candidates, and its pools.
CellSourcesCase first_halves(const Arguments& a, bool weights) {
  CellSourcesCase c = state_case(cell_shape(a), a["stride"]);
  CellSourceCase& state = c.sources[0];
  const std::vector<CellConvCase> edge = state.convs;
  state.convs.clear();
  for (int64_t i = 0; i < a["edges"]; ++i)
    state.convs.insert(state.convs.end(), edge.begin(), edge.end());
  for (CellPoolCase& p : state.pools) p.incoming = a["edges"];
  if (a["stride"] == 1) state.skips = a["edges"];
  for (CellConvCase& f : state.convs) f.grad_depthwise = f.grad_pointwise = weights;
  reduce(a, c);
  return c;
}

// The first halves of the two separable convolutions of `edges` edges.
CellSourcesCase second_halves(const Arguments& a, bool weights) {
  CellSourcesCase c{cell_shape(a), {}};
  for (int64_t i = 0; i < a["edges"]; ++i) {
    for (int64_t kernel : {3, 5}) {
      CellConvCase conv = separable(a["c"], kernel, 1, 1);
      conv.grad_depthwise = conv.grad_pointwise = weights;
      c.sources.push_back({.moments = true, .convs = {conv}, .sums = true});
    }
  }
  reduce(a, c);
  return c;
}

template <typename Make>
Family pass_family(std::string name,
                   std::string summary,
                   const std::vector<Parameter>& more,
                   const std::vector<Instance>& instances,
                   Make make) {
  std::vector<Parameter> parameters = image_parameters({{"edges", 4}});
  parameters.insert(parameters.end(), more.begin(), more.end());
  parameters.push_back(kPrecisionParameter);
  std::vector<Instance> all = instances;
  append(all, product(kStages, {{{"precision", 1}}, {{"precision", 2}}}));
  return {.name = std::move(name),
          .group = "fused cell",
          .summary = std::move(summary),
          .parameters = parameters,
          .instances = all,
          .make = for_dtype(make),
          .batch = "n"};
}

}  // namespace

std::vector<Family> mixed_cell_families() {
  const std::vector<Instance> strided =
      product({kStages[0], kStages[1]}, {{{"edges", 4}, {"stride", 2}}});
  std::vector<Instance> with_strided = kStages;
  with_strided.insert(with_strided.end(), strided.begin(), strided.end());
  const std::vector<Instance> with_weights = product(kStages, {{{"weights", 0}}, {{"weights", 1}}});
  std::vector<Instance> backward = with_weights;
  backward.insert(backward.end(), strided.begin(), strided.end());
  return {
      pass_family(
          "mixed_cell_first",
          "a state's pools and all that its edges begin with",
          {{"stride", 1}},
          with_strided,
          []<typename T>(const Arguments& a) { return forward_case<T>(first_halves(a, true)); }),
      pass_family(
          "mixed_cell_second",
          "the second halves of the separable convolutions",
          {},
          kStages,
          []<typename T>(const Arguments& a) { return forward_case<T>(second_halves(a, true)); }),
      pass_family("mixed_cell_node",
                  "the weighted sum of all terms, pools among them",
                  {},
                  kStages,
                  []<typename T>(const Arguments& a) { return node_forward_case<T>(a); }),
      pass_family("mixed_cell_node_reduce",
                  "the sums for batch normalisation and the gradient of the weights",
                  {},
                  kStages,
                  []<typename T>(const Arguments& a) { return node_reduce_case<T>(a); }),
      pass_family("mixed_cell_second_backward",
                  "weights:1 with the gradients of the convolutions' weights",
                  {{"weights", 1, 0}},
                  with_weights,
                  []<typename T>(const Arguments& a) {
                    return backward_case<T>(second_halves(a, a["weights"] != 0));
                  }),
      pass_family("mixed_cell_first_backward",
                  "a state's gradient from all its consumers; weights:1 with those of the weights",
                  {{"stride", 1}, {"weights", 1, 0}},
                  backward,
                  []<typename T>(const Arguments& a) {
                    return backward_case<T>(first_halves(a, a["weights"] != 0));
                  }),
  };
}

}  // namespace oche::bench
