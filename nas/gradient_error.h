// How far an estimate of the architecture gradient is from a reference.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/flat.h"
#include "nas/search_state.h"

namespace oche::nas {

// What an entry of the alphas, flattened in their order, belongs to.
struct AlphaEntry {
  std::string table;      // "alphas_normal"
  std::string edge;       // "0->2"; empty where there are no edges
  std::string candidate;  // "skip_connect"; empty for weights of edges
  bool operator==(const AlphaEntry&) const = default;
};
std::vector<AlphaEntry> alpha_entries(SearchState& state);

struct Agreement {
  double cosine = 0;      // NaN where either vanishes
  double error = 0;       // |estimate - reference| / |reference|
  double norm_ratio = 0;  // |estimate| / |reference|
  // The share of equal signs, of the entries where the reference is not 0; NaN without any.
  double signs = 0;
  // The mean of estimate - reference, each first scaled to a root mean square of 1 over all of its
  // entries: what is left of the error when a common length does not matter, as to Adam. Descent
  // follows the negative gradient, so below 0 the estimate favours what the entries stand for.
  double bias = 0;
};
Agreement agreement(const Vector& estimate, const Vector& reference);

// The same of parts of the vectors, in order of appearance; in the bias the scales are those of the
// whole vectors, so that parts can be compared.
struct GroupAgreement {
  std::string_view by;
  std::string group;
  Agreement agreement;
};
inline constexpr std::string_view kByTable = "table";          // "alphas_normal"
inline constexpr std::string_view kByEdge = "edge";            // "alphas_normal 0->2"
inline constexpr std::string_view kByCandidate = "candidate";  // "skip_connect"; of betas "edge"
// "alphas_normal skip_connect"
inline constexpr std::string_view kByCandidateOfTable = "candidate of a table";
// By all of these; where there are no edges by table and candidate alone.
std::vector<GroupAgreement> group_agreement(const Vector& estimate,
                                            const Vector& reference,
                                            const std::vector<AlphaEntry>& entries);

// The share of edges on which descent would raise the same candidate most, of those where the
// reference does not vanish; NaN without any.
double argmax_agreement(const Vector& estimate,
                        const Vector& reference,
                        const std::vector<AlphaEntry>& entries);

}  // namespace oche::nas
