// Tables of published genotypes, compared with the authors' repositories: quark0/darts (NASNet-A
// and AmoebaNet-A too), yuhuixu1993/PC-DARTS, chenxin061/pdarts, D-X-Y/AutoDL-Projects.
#include "nas/published.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace oche::nas {
namespace {

struct Input {
  const char* op;
  int from;
};

using NodeInputs = std::array<Input, 2>;

// Node i of the table is state 2 + i.
CellGenotype cell(std::initializer_list<NodeInputs> nodes, std::vector<int> concat) {
  CellGenotype result{{}, std::move(concat)};
  int to = kCellInputs;
  for (const NodeInputs& inputs : nodes) {
    for (const auto& [op, from] : inputs) result.edges.push_back({op, from, to});
    ++to;
  }
  return result;
}

constexpr const char *kMax3 = "max_pool_3x3", *kAvg3 = "avg_pool_3x3", *kSkip = "skip_connect";
constexpr const char *kSep3 = "sep_conv_3x3", *kSep5 = "sep_conv_5x5", *kSep7 = "sep_conv_7x7";
constexpr const char *kDil3 = "dil_conv_3x3", *kDil5 = "dil_conv_5x5", *kConv7 = "conv_7x1_1x7";

// clang-format off
const std::array<PublishedGenotype, 8>& table() {
  static const std::array<PublishedGenotype, 8> kTable{{
      {"NASNet", "arXiv:1707.07012",
       {.normal = cell({{{{kSep5, 1}, {kSep3, 0}}}, {{{kSep5, 0}, {kSep3, 0}}}, {{{kAvg3, 1}, {kSkip, 0}}},
                        {{{kAvg3, 0}, {kAvg3, 0}}}, {{{kSep3, 1}, {kSkip, 1}}}}, {2, 3, 4, 5, 6}),
        .reduce = cell({{{{kSep5, 1}, {kSep7, 0}}}, {{{kMax3, 1}, {kSep7, 0}}}, {{{kAvg3, 1}, {kSep5, 0}}},
                        {{{kSkip, 3}, {kAvg3, 2}}}, {{{kSep3, 2}, {kMax3, 1}}}}, {4, 5, 6})}},
      {"AmoebaNet", "arXiv:1802.01548",
       {.normal = cell({{{{kAvg3, 0}, {kMax3, 1}}}, {{{kSep3, 0}, {kSep5, 2}}}, {{{kSep3, 0}, {kAvg3, 3}}},
                        {{{kSep3, 1}, {kSkip, 1}}}, {{{kSkip, 0}, {kAvg3, 1}}}}, {4, 5, 6}),
        .reduce = cell({{{{kAvg3, 0}, {kSep3, 1}}}, {{{kMax3, 0}, {kSep7, 2}}}, {{{kSep7, 0}, {kAvg3, 1}}},
                        {{{kMax3, 0}, {kMax3, 1}}}, {{{kConv7, 0}, {kSep3, 5}}}}, {3, 4, 6})}},
      {"DARTS_V1", "arXiv:1806.09055",  // first order
       {.normal = cell({{{{kSep3, 1}, {kSep3, 0}}}, {{{kSkip, 0}, {kSep3, 1}}},
                        {{{kSkip, 0}, {kSep3, 1}}}, {{{kSep3, 0}, {kSkip, 2}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kMax3, 0}, {kMax3, 1}}}, {{{kSkip, 2}, {kMax3, 0}}},
                        {{{kMax3, 0}, {kSkip, 2}}}, {{{kSkip, 2}, {kAvg3, 0}}}}, {2, 3, 4, 5})}},
      {"DARTS_V2", "arXiv:1806.09055",  // second order
       {.normal = cell({{{{kSep3, 0}, {kSep3, 1}}}, {{{kSep3, 0}, {kSep3, 1}}},
                        {{{kSep3, 1}, {kSkip, 0}}}, {{{kSkip, 0}, {kDil3, 2}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kMax3, 0}, {kMax3, 1}}}, {{{kSkip, 2}, {kMax3, 1}}},
                        {{{kMax3, 0}, {kSkip, 2}}}, {{{kSkip, 2}, {kMax3, 1}}}}, {2, 3, 4, 5})}},
      {"PDARTS", "arXiv:1904.12760",
       {.normal = cell({{{{kSkip, 0}, {kDil3, 1}}}, {{{kSkip, 0}, {kSep3, 1}}},
                        {{{kSep3, 1}, {kSep3, 3}}}, {{{kSep3, 0}, {kDil5, 4}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kAvg3, 0}, {kSep5, 1}}}, {{{kSep3, 0}, {kDil5, 2}}},
                        {{{kMax3, 0}, {kDil3, 1}}}, {{{kDil3, 1}, {kDil5, 3}}}}, {2, 3, 4, 5})}},
      {"PC_DARTS_cifar", "arXiv:1907.05737",
       {.normal = cell({{{{kSep3, 1}, {kSkip, 0}}}, {{{kSep3, 0}, {kDil3, 1}}},
                        {{{kSep5, 0}, {kSep3, 1}}}, {{{kAvg3, 0}, {kDil3, 1}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kSep5, 1}, {kMax3, 0}}}, {{{kSep5, 1}, {kSep5, 2}}},
                        {{{kSep3, 0}, {kSep3, 3}}}, {{{kSep3, 1}, {kSep3, 2}}}}, {2, 3, 4, 5})}},
      {"PC_DARTS_image", "arXiv:1907.05737",
       {.normal = cell({{{{kSkip, 1}, {kSep3, 0}}}, {{{kSep3, 0}, {kSkip, 1}}},
                        {{{kSep3, 1}, {kSep3, 3}}}, {{{kSep3, 1}, {kDil5, 4}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kSep3, 0}, {kSkip, 1}}}, {{{kDil5, 2}, {kMax3, 1}}},
                        {{{kSep3, 2}, {kSep3, 1}}}, {{{kSep5, 0}, {kSep3, 3}}}}, {2, 3, 4, 5})}},
      {"GDAS_V1", "arXiv:1910.04465",
       {.normal = cell({{{{kSkip, 0}, {kSkip, 1}}}, {{{kSkip, 0}, {kSep5, 2}}},
                        {{{kSep3, 3}, {kSkip, 0}}}, {{{kSep5, 4}, {kSep3, 3}}}}, {2, 3, 4, 5}),
        .reduce = cell({{{{kSep5, 0}, {kSep3, 1}}}, {{{kSep5, 2}, {kSep5, 1}}},
                        {{{kDil5, 2}, {kSep3, 1}}}, {{{kSep5, 0}, {kSep5, 1}}}}, {2, 3, 4, 5})}},
  }};
  return kTable;
}
// clang-format on

char fold(char c) {
  if (c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::span<const PublishedGenotype> published_genotypes() {
  return table();
}

const Genotype* find_published(std::string_view name) {
  for (const PublishedGenotype& known : table()) {
    if (std::ranges::equal(known.name, name, {}, fold, fold)) return &known.genotype;
  }
  return nullptr;
}

}  // namespace oche::nas
