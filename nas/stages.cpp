// A search in stages.
#include "nas/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace oche::nas {
namespace {

template <typename T>
std::vector<T> numbers(std::string_view setting, std::string_view text) {
  std::vector<T> list;
  const auto refuse = [&] {
    throw std::invalid_argument(fmt::format(
        "--set stages.{}: '{}' is not allowed; expected numbers with commas", setting, text));
  };
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    T value{};
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    if (error != std::errc() || end != item.data() + item.size() || !(value >= 0)) refuse();
    list.push_back(value);
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    if (rest.empty() && text.ends_with(',')) refuse();
  }
  return list;
}

struct Lists {
  explicit Lists(const SearchConfig& c)
      : layers(numbers<int64_t>("layers", c.stage_layers)),
        candidates(numbers<int64_t>("candidates", c.stage_candidates)),
        skip_dropout(numbers<double>("skip-dropout", c.stage_skip_dropout)) {}
  int64_t longest() const {
    return static_cast<int64_t>(
        std::max({layers.size(), candidates.size(), skip_dropout.size(), size_t{1}}));
  }

  std::vector<int64_t> layers, candidates;
  std::vector<double> skip_dropout;
};

// From `first` in epoch 0 to `last` in the last one.
double linear(double first, double last, int64_t epoch, int64_t epochs) {
  if (epochs == 1) return first;
  return first + (last - first) * static_cast<double>(epoch) / static_cast<double>(epochs - 1);
}

// From `first` in epoch 0 towards `end`, where the epoch behind the last one would be.
double towards(double first, double end, int64_t epoch, int64_t epochs) {
  return first + (end - first) * static_cast<double>(epoch) / static_cast<double>(epochs);
}

double falling_dropout(const SearchConfig& c, int64_t epoch) {
  const auto e = static_cast<double>(epoch), E = static_cast<double>(c.epochs);
  return epoch < c.alpha_from
             ? c.skip_dropout * (E - e - 1) / E
             : c.skip_dropout * std::exp(-0.2 * (e - static_cast<double>(c.alpha_from)));
}

void require(bool holds, std::string_view setting, std::string_view value, std::string_view what) {
  if (holds) return;
  throw std::invalid_argument(
      fmt::format("--set stages.{}: '{}' is not allowed; expected {}", setting, value, what));
}

}  // namespace

int64_t stage_count(const SearchConfig& c) {
  const Lists lists(c);
  const int64_t count = lists.longest();
  const auto fits = [&](const auto& list) { return list.empty() || std::ssize(list) == count; };
  const std::string length = fmt::format("{} numbers, one for each stage", count);
  require(fits(lists.layers), "layers", c.stage_layers, length);
  require(fits(lists.candidates), "candidates", c.stage_candidates, length);
  require(fits(lists.skip_dropout), "skip-dropout", c.stage_skip_dropout, length);
  require(std::ranges::find(lists.layers, 0) == lists.layers.end(),
          "layers",
          c.stage_layers,
          "at least 1 in each");
  require(std::ranges::all_of(lists.skip_dropout, [](double p) { return p < 1; }),
          "skip-dropout",
          c.stage_skip_dropout,
          "0 <= p < 1 in each");
  if (!lists.candidates.empty()) {
    const int64_t first = make_space(c.space, c.steps).normal.columns();
    require(lists.candidates.front() == first && lists.candidates.back() >= 1 &&
                std::ranges::is_sorted(lists.candidates, std::greater()),
            "candidates",
            c.stage_candidates,
            fmt::format("numbers that fall from the {} of {} to 1 or more", first, c.space));
  }
  if (c.epochs % count != 0) {
    throw std::invalid_argument(fmt::format(
        "--epochs: {} is not allowed; expected a multiple of the {} stages", c.epochs, count));
  }
  return count;
}

SearchConfig stage_config(const SearchConfig& c, int64_t stage) {
  const Lists lists(c);
  SearchConfig config = c;
  config.epochs /= lists.longest();
  if (!lists.layers.empty()) config.layers = lists.layers.at(stage);
  if (!lists.skip_dropout.empty()) config.skip_dropout = lists.skip_dropout.at(stage);
  config.stage_layers = config.stage_candidates = config.stage_skip_dropout = "";
  return config;
}

int64_t stage_candidates(const SearchConfig& c, int64_t stage) {
  const Lists lists(c);
  return lists.candidates.empty() ? make_space(c.space, c.steps).normal.columns()
                                  : lists.candidates.at(stage);
}

CellSpace shrunk(const CellSpace& space, const EdgeRows& scores, int64_t count) {
  CellSpace smaller;
  for (int64_t e = 0; e < space.rows(); ++e) {
    const SpaceEdge& edge = space.edges[e];
    const std::vector<double>& score = scores[e];
    std::vector<size_t> order(edge.candidates.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](size_t k) { return score[k]; });  // what goes first
    std::vector<size_t> kept(order.end() - count, order.end());
    std::ranges::sort(kept);
    SpaceEdge left{edge.from, edge.to, {}};
    for (const size_t k : kept) left.candidates.push_back(edge.candidates[k]);
    smaller.edges.push_back(std::move(left));
  }
  return smaller;
}

bool is_left_of(const Space& space, const Space& all, int64_t count) {
  const auto within = [&](const CellSpace& cell, const CellSpace& of) {
    return std::ranges::equal(cell.edges, of.edges, [&](const SpaceEdge& a, const SpaceEdge& b) {
      return a.from == b.from && a.to == b.to && std::ssize(a.candidates) == count &&
             std::ranges::all_of(a.candidates, [&](const std::string& name) {
               return std::ranges::find(b.candidates, name) != b.candidates.end();
             });
    });
  };
  return space.name == all.name && space.steps == all.steps && space.plain == all.plain &&
         within(space.normal, all.normal) && within(space.reduce, all.reduce);
}

EpochNumbers epoch_numbers(const SearchConfig& c, int64_t epoch) {
  return {.alphas_rest = epoch < c.alpha_from,
          .temperature = linear(c.temperature, c.temperature_end, epoch, c.epochs),
          .perturb_radius = towards(c.perturb_radius, c.perturb_radius_end, epoch, c.epochs),
          .rates = {.skip_dropout = c.skip_dropout_curve == "constant" ? c.skip_dropout
                                                                       : falling_dropout(c, epoch),
                    .op_dropout = c.op_dropout,
                    .drop_path = c.drop_path_curve == "constant"
                                     ? c.drop_path
                                     : linear(0, c.drop_path, epoch, c.epochs)}};
}

}  // namespace oche::nas
