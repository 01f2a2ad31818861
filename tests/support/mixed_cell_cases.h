// What the kernels of a fused cell are tried on: sources and nodes as data.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/mixed_cell.h"

namespace oche {

// Channels that lie beside those of an image within a pixel, and belong to something else.
struct Beside {
  int64_t before = 0, after = 0;
};

struct CellConvCase {
  int64_t kernel = 1, dilation = 1, stride = 1;
  bool depthwise = true;  // false: half of a factorized reduce
  int64_t offset = 0, out = 0;
  Beside y = {};
  bool moments = true;  // wanted in the forward pass
  bool weight = true;   // of what comes in during the backward pass; false: 1
  bool grad_depthwise = true, grad_pointwise = true;
};
struct CellPoolCase {
  kernels::CellPool pool;
  int64_t stride;
  bool y = false, moments = true;
  Beside beside = {};
  int64_t incoming = 1;
};
struct CellSourceCase {
  bool moments;
  Beside x = {};
  std::vector<CellConvCase> convs = {};
  std::vector<CellPoolCase> pools = {};
  int64_t skips = 0;
  bool initial = false, sums = false;
};
struct CellSourcesCase {
  kernels::CellShape shape;
  std::vector<CellSourceCase> sources;
  bool narrow = false;  // whether float keeps as bfloat16 what it can
};

struct CellTermCase {
  kernels::CellTermKind kind;
  Beside x = {};
};
struct CellNodeCase {
  kernels::CellShape shape;
  std::vector<CellTermCase> terms;
  Beside y = {};  // and of its gradient
  bool grad_weights = true;
  bool narrow = false;
};

inline std::string text(const kernels::CellShape& s) {
  return fmt::format("({}, {}, {}, {})", s.N, s.H, s.W, s.C);
}
inline std::string text(const CellSourcesCase& c) {
  std::string s = text(c.shape);
  s += fmt::format(" products {}{}", static_cast<int>(c.shape.products), c.narrow ? " narrow" : "");
  for (const CellSourceCase& source : c.sources) {
    s += fmt::format("; source{} +{}+{}, {} pools, {} skips{}{}",
                     source.moments ? " normalised" : "",
                     source.x.before,
                     source.x.after,
                     source.pools.size(),
                     source.skips,
                     source.initial ? ", initial" : "",
                     source.sums ? ", sums" : "");
    for (const CellConvCase& conv : source.convs) {
      s += fmt::format(", conv {}{} dilation {} stride {} offset {} out {}",
                       conv.depthwise ? "" : "pointwise ",
                       conv.kernel,
                       conv.dilation,
                       conv.stride,
                       conv.offset,
                       conv.out);
    }
  }
  return s;
}
inline std::string text(const CellNodeCase& c) {
  return fmt::format("node {} +{}+{} of {} terms{}",
                     text(c.shape),
                     c.y.before,
                     c.y.after,
                     c.terms.size(),
                     c.narrow ? ", narrow" : "");
}

inline CellConvCase separable(int64_t C, int64_t kernel, int64_t dilation, int64_t stride) {
  return {.kernel = kernel,
          .dilation = dilation,
          .stride = stride,
          .offset = -dilation * (kernel - 1) / 2,
          .out = C};
}
// One half of a factorized reduce: 0 or 1.
inline CellConvCase reduce_half(int64_t C, int64_t half) {
  const int64_t first = C / 2, out = half == 0 ? first : C - first;
  return {.stride = 2,
          .depthwise = false,
          .offset = half,
          .out = out,
          .y = {.before = half == 0 ? 0 : first, .after = half == 0 ? C - first : 0}};
}

// All that a state of a cell leads to: with stride 1 from nodes of a cell whose output has room for
// several, with stride 2 from an input of a reduction cell.
inline CellSourcesCase state_case(kernels::CellShape shape, int64_t stride) {
  using kernels::CellPool;
  const int64_t C = shape.C;
  CellSourceCase state{.moments = false};
  for (int64_t kernel : {3, 5}) {
    state.convs.push_back(separable(C, kernel, 1, stride));
    state.convs.push_back(separable(C, kernel, 2, stride));
  }
  state.convs[0].weight = false;  // as the first half of a separable convolution
  for (CellPool pool : {CellPool::kMax, CellPool::kAverage})
    state.pools.push_back({.pool = pool, .stride = stride, .y = stride == 2, .incoming = 2});
  if (stride == 1) {
    state.x = {.before = C, .after = 2 * C};
    state.skips = 2;
    state.initial = true;
  } else {
    for (int64_t half : {0, 1}) {
      if (reduce_half(C, half).out > 0) state.convs.push_back(reduce_half(C, half));
    }
  }
  return {shape, {state}};
}

// The first halves of separable convolutions, which the second halves read.
inline CellSourcesCase mids_case(kernels::CellShape shape) {
  CellSourcesCase c{shape, {}};
  for (int64_t kernel : {3, 5, 3}) {
    c.sources.push_back(
        {.moments = true, .convs = {separable(shape.C, kernel, 1, 1)}, .sums = true});
  }
  return c;
}

// Sources with rounded factors or narrow results, for float. Numbers of pixels are powers of two
// and eps is 0, so that, with the numbers of CellArrays, all factors of pointwise products are what
// they are in double: rounding cannot go two ways.
inline std::vector<CellSourcesCase> reduced_cell_cases() {
  using kernels::CellProducts;
  std::vector<CellSourcesCase> cases;
  for (int64_t C : {3, 5, 16, 32, 64}) {
    const kernels::CellShape shape{2, 4, 8, C};
    cases.push_back(state_case(shape, 1));
    cases.push_back(state_case(shape, 2));
    cases.push_back(mids_case(shape));
  }
  for (int64_t C : {16, 32, 64}) cases.push_back(mids_case({4, 16, 16, C}));  // several tiles
  CellSourcesCase wide{{2, 4, 8, 16}, {{.moments = true, .convs = {separable(16, 7, 1, 1)}}}};
  wide.sources[0].convs.push_back(separable(16, 3, 1, 1));
  wide.sources[0].convs[1].out = 21;
  cases.push_back(wide);

  std::vector<CellSourcesCase> reduced;
  size_t next = 0;
  for (CellSourcesCase c : cases) {
    c.shape.eps = 0;
    const auto with = [&](CellProducts products, bool narrow) {
      c.shape.products = products;
      c.narrow = narrow;
      reduced.push_back(c);
    };
    with(CellProducts::kTensorFloat32, next % 3 == 1);
    with(CellProducts::kBFloat16, next % 3 != 1);
    if (next % 3 == 2) with(CellProducts::kExact, true);
    ++next;
  }
  return reduced;
}

inline std::vector<CellSourcesCase> cell_sources_cases() {
  using kernels::CellPool;
  const kernels::CellShape shapes[] = {{2, 5, 7, 0},
                                       {1, 8, 8, 0},
                                       {3, 6, 3, 0},
                                       {2, 4, 4, 0},
                                       {1, 9, 9, 0},
                                       {2, 7, 8, 0},
                                       {1, 1, 1, 0},
                                       {1, 2, 3, 0}};
  std::vector<CellSourcesCase> cases;
  size_t next = 0;
  const auto shape = [&](int64_t C) {
    kernels::CellShape s = shapes[next++ % std::size(shapes)];
    s.C = C;
    return s;
  };
  for (int64_t C : {1, 3, 4, 8, 16, 17, 32, 64}) {
    cases.push_back(state_case(shape(C), 1));
    cases.push_back(state_case(shape(C), 2));
    cases.push_back(mids_case(shape(C)));
  }
  for (int64_t C : {3, 4, 16}) {  // several blocks of pixels
    cases.push_back(state_case({3, 16, 17, C}, 1));
    cases.push_back(state_case({5, 15, 16, C}, 2));
    cases.push_back(mids_case({6, 8, 8, C}));
  }
  cases.push_back(mids_case({2, 32, 32, 16}));  // the sizes of CIFAR's stages
  cases.push_back(mids_case({2, 16, 16, 32}));
  cases.push_back(mids_case({5, 8, 8, 64}));

  for (int64_t C : {5, 16}) {  // kernels that no candidate has, and a change of channels
    for (int64_t stride : {1, 2}) {
      CellSourceCase source{.moments = stride == 1, .x = {.before = 1, .after = 2}, .sums = true};
      for (auto [kernel, dilation] : {std::pair<int64_t, int64_t>{7, 1}, {3, 3}, {1, 1}}) {
        source.convs.push_back(separable(C, kernel, dilation, stride));
        source.convs.back().y = {.before = 2, .after = 1};
      }
      source.convs[1].out = C + 3;
      source.convs.push_back(separable(C, 3, 1, stride));
      source.convs.back().offset = 0;  // padded at one end only
      cases.push_back({{2, 6, 7, C}, {source}});
    }
  }
  for (int64_t C : {4, 16}) {  // not all is wanted
    CellSourceCase source{.moments = false, .initial = true};
    source.convs = {
        separable(C, 3, 1, 1), separable(C, 3, 2, 1), separable(C, 5, 1, 1), separable(C, 5, 2, 1)};
    source.convs[0].moments = source.convs[0].grad_depthwise = false;
    source.convs[1].grad_pointwise = false;
    source.convs[2].grad_depthwise = source.convs[2].grad_pointwise = false;
    source.pools = {{.pool = CellPool::kMax, .stride = 1, .y = true, .moments = false},
                    {.pool = CellPool::kAverage, .stride = 2, .y = true, .moments = false}};
    source.pools[0].beside = {.before = 1, .after = 2};
    source.pools[0].incoming = 3;
    cases.push_back({{2, 6, 5, C}, {source}});
    cases.push_back({{2, 6, 5, C}, {{.moments = false, .pools = source.pools}}});  // nothing else
    cases.push_back({{2, 6, 5, C}, {{.moments = false, .skips = 1}}});
    cases.push_back({{2, 6, 5, C}, {{.moments = false, .initial = true, .sums = true}}});
    cases.push_back({{2, 6, 5, C},  // sources of several kinds
                     {source,
                      {.moments = true, .convs = {separable(C, 3, 1, 1)}, .sums = true},
                      {.moments = false, .convs = {separable(C, 5, 1, 1)}}}});
  }
  return cases;
}

inline std::vector<CellNodeCase> cell_node_cases() {
  using kernels::CellTermKind;
  std::vector<CellNodeCase> cases;
  int64_t rows = 1;
  for (int64_t C : {1, 3, 4, 8, 16, 17, 32, 64}) {
    CellNodeCase all{.shape = {2, 1 + rows, 9 - rows, C}, .terms = {}};
    rows = rows % 7 + 1;
    for (int64_t edge : {0, 1}) {
      const Beside x{.before = edge * C, .after = 3 * edge * C};  // a state
      for (CellTermKind kind :
           {CellTermKind::kMaxPool, CellTermKind::kAveragePool, CellTermKind::kIdentity})
        all.terms.push_back({kind, x});
      for (int conv = 0; conv < 4; ++conv) all.terms.push_back({CellTermKind::kNormalised});
    }
    cases.push_back(all);
    all.y = {.before = 2 * C, .after = C};
    all.grad_weights = false;
    all.narrow = true;
    cases.push_back(all);
  }
  cases.push_back(
      {.shape = {3, 16, 17, 16}, .terms = {{CellTermKind::kNormalised}, {CellTermKind::kMaxPool}}});
  cases.push_back({.shape = {2, 32, 32, 5},
                   .terms = {{CellTermKind::kNormalised}, {CellTermKind::kAveragePool}},
                   .y = {.before = 1, .after = 1}});
  for (CellTermKind kind : {CellTermKind::kNormalised,
                            CellTermKind::kIdentity,
                            CellTermKind::kMaxPool,
                            CellTermKind::kAveragePool}) {
    cases.push_back({.shape = {1, 1, 1, 3}, .terms = {{kind}}});
    cases.push_back({.shape = {2, 3, 5, 6}, .terms = {{kind, {.before = 1, .after = 2}}}});
    CellNodeCase many{.shape = {1, 4, 3, 8}, .terms = {}};
    for (int i = 0; i < 40; ++i) many.terms.push_back({kind});  // steps beyond those of DARTS
    cases.push_back(many);
  }
  cases.push_back({.shape = {3, 16, 17, 16},
                   .terms = {{CellTermKind::kNormalised}, {CellTermKind::kNormalised}},
                   .narrow = true});
  return cases;
}

}  // namespace oche
