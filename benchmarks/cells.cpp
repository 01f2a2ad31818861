// Rows of primitives, mixed ops and cells.
#include <fmt/format.h>

#include <memory>

#include "benchmarks/engine_case.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "nas/network.h"

namespace oche::bench {
namespace {

using nas::Mixture;

// Forward alone, or with the gradients of everything that `forward` depends on. `owner` keeps the
// modules alive.
template <typename Owner, typename Forward>
Compute passes(const Arguments& a,
               std::shared_ptr<Owner> owner,
               std::vector<Tensor> inputs,
               Forward forward) {
  if (a["backward"] == 0) {
    return [=]() -> std::vector<Tensor> {
      const NoGrad no_grad;
      return {forward(*owner)};
    };
  }
  for (const Tensor& t : inputs) t.set_requires_grad(true);
  const Shape shape = [&] {
    const DryRun dry_run;
    return forward(*owner).shape();
  }();
  const Tensor g = sample(shape, inputs.front().dtype(), -1, 1, 7);
  return [=] { return with_gradients(forward(*owner), g, inputs); };
}

// Each of the inputs read and each of the results written once.
double traffic(const Arguments& a, int64_t inputs, int64_t outputs) {
  return static_cast<double>((inputs + outputs) * (a["backward"] == 0 ? 1 : 2));
}

int64_t strided_size(const Arguments& a) {
  const int64_t s = a["stride"];
  return volume({a["n"], (a["h"] + s - 1) / s, (a["w"] + s - 1) / s, a["c"]});
}

Tensor image(const Arguments& a, int64_t channels, DType dtype, uint32_t seed = 1) {
  return sample({a["n"], a["h"], a["w"], channels}, dtype, -1, 1, seed);
}

Compute primitive(std::string_view name, const Arguments& a, DType dtype) {
  const std::shared_ptr<nas::Primitive> op = nas::make_primitive(name, a["c"], a["stride"], dtype);
  const Tensor x = image(a, a["c"], dtype);
  std::vector<Tensor> inputs = {x};
  append(inputs, initialised(*op));
  return passes(a, op, inputs, [x](const nas::Primitive& p) { return p.forward(x, Pass{}); });
}

// The edges that lead to a node, the first one from x0, a second one from x1.
class NodeEdges : public Module {
 public:
  NodeEdges(int64_t edges, const Arguments& a, DType dtype) : spec_{1, 1, {}} {
    const auto candidates = static_cast<int64_t>(nas::darts_primitives().size());
    const std::vector<std::string> primitives(nas::darts_primitives().begin(),
                                              nas::darts_primitives().end());
    for (int64_t e = 0; e < edges; ++e) {
      const auto& mixed =
          add_module<nas::MixedOp>(fmt::format("{}", e), primitives, a["c"], a["stride"], dtype);
      CellEdge edge{.from = e, .to = 0, .stride = a["stride"]};
      for (int64_t k = 0; k < candidates; ++k) {
        if (!mixed.has_branch(k)) continue;
        edge.branches.push_back(mixed.branch(k).branch());
        edge.branches.back().place = e * candidates + k;
        primitives_.push_back(&mixed.branch(k));
      }
      spec_.edges.push_back(std::move(edge));
    }
  }
  Tensor forward(const Tensor& x0, const Tensor& x1, const Tensor& table, bool fuse) const {
    std::vector<Tensor> weights;
    for (const nas::Primitive* p : primitives_) append(weights, p->weights());
    if (fuse) return mixed_cell(spec_, x0, x1, table, weights).y;
    return mixed_cell_composite(
        spec_, x0, x1, table, weights, {[](int64_t, const Tensor& t) { return batch_norm(t).y; }});
  }

 private:
  MixedCellSpec spec_;
  std::vector<const nas::Primitive*> primitives_;
};

// One node that sums all candidates of `edges` edges, as one op with fuse:1.
Compute node(int64_t edges, const Arguments& a, DType dtype) {
  const auto m = std::make_shared<NodeEdges>(edges, a, dtype);
  const auto candidates = static_cast<int64_t>(nas::darts_primitives().size());
  const Tensor x0 = image(a, a["c"], dtype), x1 = image(a, a["c"], dtype, 3);
  const Tensor alpha = sample({edges, candidates}, dtype, -1, 1, 2);
  std::vector<Tensor> inputs = {x0};
  if (edges > 1) inputs.push_back(x1);
  inputs.push_back(alpha);
  append(inputs, initialised(*m));
  return passes(a, m, inputs, [=](const NodeEdges& n) {
    return n.forward(x0, x1, nas::softmax_mixture(alpha).weights, a["fuse"] != 0);
  });
}

// Within a network: after two cells of four concatenated nodes, whose channels a reduction doubles.
Compute cell(const Arguments& a, DType dtype) {
  static const nas::Space kSpace = nas::make_space("darts-cnn", 4);
  const bool reduction = a["reduction"] != 0;
  const int64_t before = 4 * (reduction ? (a["c"] + 1) / 2 : a["c"]);
  const auto c = std::make_shared<nas::Cell>(nas::CellOptions{.space = &kSpace.normal,
                                                              .channels_before_last = before,
                                                              .channels_last = before,
                                                              .channels = a["c"],
                                                              .reduction = reduction,
                                                              .fuse = a["fuse"] != 0,
                                                              .precision = row_precision(a)},
                                             dtype);
  const Tensor x0 = image(a, before, dtype), x1 = image(a, before, dtype, 2);
  const Tensor alpha = sample({nas::edge_count(4), 8}, dtype, -1, 1, 2);
  std::vector<Tensor> inputs = {x0, x1, alpha};
  append(inputs, initialised(*c));
  return passes(a, c, inputs, [=](const nas::Cell& m) {
    return m.forward(x0, x1, nas::softmax_mixture(alpha), Pass{});
  });
}

const std::vector<Instance> kBothPasses = {{{"backward", 0}}, {{"backward", 1}}};

}  // namespace

std::vector<Family> cell_families() {
  constexpr const char* kFused = "fuse:1 as one op, fuse:0 in small ones; ";
  constexpr const char* kSummary =
      "backward:1 adds the gradients of the input and of all parameters";
  std::vector<Family> families;
  std::vector<Instance> instances = product(kStages, kBothPasses);
  append(instances, product({kStages[0], kStages[1]}, {{{"stride", 2}, {"backward", 1}}}));
  const auto edge_traffic = [](const Arguments& a) {
    return traffic(a, image_size(a), strided_size(a));
  };
  for (const std::string_view name : nas::darts_primitives()) {
    if (name == nas::kNone) continue;
    families.push_back(
        {.name = std::string(name),
         .group = "primitive",
         .summary = kSummary,
         .parameters = image_parameters({{"stride", 1}, {"backward", 0, 0}}),
         .instances = instances,
         .make = engine_case(
             [name](const Arguments& a, DType dtype) { return primitive(name, a, dtype); },
             edge_traffic),
         .batch = "n"});
  }
  const std::vector<Instance> both_ways = product(instances, {{{"fuse", 1}}, {{"fuse", 0}}});
  for (const auto& [name, edges, what] :
       {std::tuple("mixed_op", 1, "an edge with its seven candidates; "),
        std::tuple("node", 2, "the sum of two edges with their seven candidates; ")}) {
    families.push_back(
        {.name = name,
         .group = "cell",
         .summary = std::string(what) + kFused + kSummary,
         .parameters = image_parameters({{"stride", 1}, {"backward", 0, 0}, {"fuse", 1, 0}}),
         .instances = both_ways,
         .make = engine_case(
             [edges = edges](const Arguments& a, DType dtype) { return node(edges, a, dtype); },
             [edges = edges](const Arguments& a) {
               return traffic(a, edges * image_size(a), strided_size(a));
             }),
         .batch = "n"});
  }
  std::vector<Instance> cells = product(kStages, kBothPasses);
  append(cells,
         product({{{"n", 64}, {"h", 32}, {"w", 32}, {"c", 32}},
                  {{"n", 64}, {"h", 16}, {"w", 16}, {"c", 64}}},
                 {{{"reduction", 1}, {"backward", 1}}}));
  const std::vector<Instance> reduced =
      product(kStages, {{{"backward", 1}, {"precision", 1}}, {{"backward", 1}, {"precision", 2}}});
  cells = product(cells, {{{"fuse", 1}}, {{"fuse", 0}}});
  append(cells, reduced);
  families.push_back(
      {.name = "cell",
       .group = "cell",
       .summary = std::string("four nodes of mixed edges; h and w of the input, c "
                              "within the cell; ") +
                  kFused + kSummary,
       .parameters = image_parameters(
           {{"reduction", 0, 0}, {"backward", 0, 0}, {"fuse", 1, 0}, kPrecisionParameter}),
       .instances = cells,
       .make = engine_case(cell,
                           [](const Arguments& a) {
                             const int64_t n = image_size(a);
                             return a["reduction"] == 0 ? traffic(a, 8 * n, 4 * n)
                                                        : traffic(a, 4 * n, n);
                           }),
       .batch = "n"});
  return families;
}

}  // namespace oche::bench
