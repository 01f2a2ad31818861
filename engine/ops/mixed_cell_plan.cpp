// What follows from the description of a cell alone.
#include "engine/ops/mixed_cell_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace oche {
namespace {

template <typename... Args>
void require(bool holds, fmt::format_string<Args...> message, Args&&... args) {
  if (holds) return;
  throw std::invalid_argument("mixed_cell: " + fmt::format(message, std::forward<Args>(args)...));
}

bool is_pool(BranchKind kind) {
  return kind == BranchKind::kMaxPool || kind == BranchKind::kAveragePool;
}

void check(const CellEdge& edge, const Branch& b) {
  if (b.kind == BranchKind::kIdentity) {
    require(edge.stride == 1, "an identity with stride {}; expected 1", edge.stride);
  } else if (b.kind == BranchKind::kFactorizedReduce) {
    require(edge.stride == 2, "a factorized reduce with stride {}; expected 2", edge.stride);
  } else if (b.kind == BranchKind::kSeparable) {
    require(
        b.kernel >= 1 && b.kernel % 2 == 1 && b.kernel <= kernels::kMaxCellKernel &&
            b.dilation >= 1 && b.blocks >= 1,
        "kernel {}, dilation {}, {} blocks; expected an odd kernel up to {}, and all at least 1",
        b.kernel,
        b.dilation,
        b.blocks,
        kernels::kMaxCellKernel);
  }
}

}  // namespace

CellPlan::CellPlan(MixedCellSpec description) : spec(std::move(description)) {
  require(has_fused(spec), "noise, a dense convolution or a pool without normalisation");
  require(spec.multiplier >= 1 && spec.multiplier <= spec.steps,
          "multiplier {} of {} steps; expected 1 or more, and no more than steps",
          spec.multiplier,
          spec.steps);
  into.resize(spec.steps);
  out_of.resize(2 + spec.steps);
  pools_of.resize(2 + spec.steps);
  const auto first = std::ranges::find_if(spec.edges, [](const CellEdge& e) { return e.from < 2; });
  if (first != spec.edges.end()) stride = first->stride;
  require(stride == 1 || stride == 2, "stride {}; expected 1 or 2", stride);

  std::set<int64_t> places;
  for (const CellEdge& e : spec.edges) {
    require(e.to >= 0 && e.to < spec.steps && e.from >= 0 && e.from < 2 + e.to,
            "an edge from state {} to node {} of {}; expected one from an earlier state",
            e.from,
            e.to,
            spec.steps);
    const int64_t expected = e.from < 2 ? stride : 1;
    require(e.stride == expected,
            "an edge from state {} has stride {}; expected {}",
            e.from,
            e.stride,
            expected);
    for (const Branch& b : e.branches) {
      check(e, b);
      require(places.insert(b.place).second, "two branches with weight {}", b.place);
      Term t{b, e.from, e.to, e.stride, weights, rows, std::ssize(norm_rows), kept, -1};
      if (is_pool(b.kind)) {
        const auto kind =
            b.kind == BranchKind::kMaxPool ? kernels::CellPool::kMax : kernels::CellPool::kAverage;
        const auto same = std::ranges::find_if(
            pools, [&](const Pool& p) { return p.from == e.from && p.kind == kind; });
        t.pool = same - pools.begin();
        if (same == pools.end()) {
          pools_of[e.from].push_back(pools.size());
          pools.push_back({e.from, e.stride, kind, rows++, e.stride == 1 ? -1 : kept++});
        }
        t.row = pools[t.pool].row;
        t.kept = pools[t.pool].kept;
        norm_rows.push_back(t.row);
      } else {
        for (int64_t i = 0; i < norm_count(b); ++i) norm_rows.push_back(rows++);
        kept += norm_count(b);
        weights += weight_count(b);
      }
      if (t.separable()) blocks = std::max(blocks, b.blocks);
      into[e.to].push_back(terms.size());
      out_of[e.from].push_back(terms.size());
      terms.push_back(std::move(t));
    }
  }
  results = kept;
  for (int64_t i = 0; i < spec.steps; ++i) outside.push_back(in_output(i) ? -1 : kept++);
  live.resize(spec.steps);
  for (int64_t i = spec.steps; i-- > 0;) {
    live[i] = in_output(i) ||
              std::ranges::any_of(out_of[2 + i], [&](size_t t) { return live[terms[t].to]; });
  }
}

Needs CellPlan::reached() const {
  Needs inputs(kWeights + weights, false);
  for (const Term& t : terms) {
    if (!live[t.to]) continue;
    if (t.from < 2) inputs[t.from] = true;
    inputs[kTable] = true;
    for (int64_t i = 0; i < weight_count(t.branch); ++i) inputs[kWeights + t.weight + i] = true;
  }
  return inputs;
}

int64_t CellPlan::macs(int64_t C) const {
  int64_t count = 0;
  for (const Term& t : terms) {
    if (t.separable()) count += t.branch.blocks * C * (t.branch.kernel * t.branch.kernel + C);
    if (t.reduces()) count += C * C;
  }
  return count;
}

CellDemand::CellDemand(const CellPlan& cell, const Needs& wanted)
    : plan(cell),
      needs(wanted),
      table(wanted[CellPlan::kTable]),
      state(2 + cell.spec.steps, false) {
  for (size_t j = 0; j < state.size(); ++j) {
    state[j] = j < 2 ? needs[j] : std::ranges::any_of(plan.into[j - 2], [&](size_t t) {
      return table || state[plan.terms[t].from] || weights_of(plan.terms[t]);
    });
  }
}

bool CellDemand::weights_of(const CellPlan::Term& t) const {
  for (int64_t i = 0; i < weight_count(t.branch); ++i) {
    if (weight(t.weight + i)) return true;
  }
  return false;
}

bool CellDemand::block(size_t term, int64_t block) const {
  const CellPlan::Term& t = plan.terms[term];
  if (!plan.live[t.to]) return false;
  if (state[t.from]) return true;
  for (int64_t i = 0; i < 2 * (block + 1); ++i) {
    if (weight(t.weight + i)) return true;
  }
  return false;
}

bool CellDemand::source(size_t term) const {
  const CellPlan::Term& t = plan.terms[term];
  if (t.separable()) return block(term, 0);
  return plan.live[t.to] && (state[t.from] || weights_of(t));
}

bool CellDemand::sums(size_t term) const {
  const CellPlan::Term& t = plan.terms[term];
  if (!plan.live[t.to]) return false;
  if (table) return true;
  if (t.branch.kind == BranchKind::kIdentity) return false;
  return t.separable() ? block(term, t.last()) : source(term);
}

std::vector<bool> CellDemand::kept() const {
  std::vector<bool> wanted(plan.kept, false);
  for (size_t i = 0; i < plan.terms.size(); ++i) {
    const CellPlan::Term& t = plan.terms[i];
    if (t.kept >= 0 && norm_count(t.branch) > 0) {
      const int64_t last = t.separable() ? t.last() : 0;
      if (sums(i)) wanted[t.kept + last] = true;
      for (int64_t b = 0; b < last; ++b) {
        if (block(i, b + 1)) wanted[t.kept + b] = true;
      }
    }
    const int64_t node = t.from - 2;
    if (node >= 0 && plan.outside[node] >= 0 && (sums(i) || source(i)))
      wanted[plan.outside[node]] = true;
  }
  return wanted;
}

}  // namespace oche
