// The plots of the page.
#include "nas/report/figures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "nas/report/axis.h"
#include "nas/report/cell_figure.h"
#include "nas/report/html.h"
#include "nas/report/plot.h"

namespace oche::nas::report {
namespace {

using M = EpochMetrics;

Series series(const std::vector<M>& epochs,
              std::string label,
              std::string style,
              auto member,
              double factor = 1) {
  Series s{std::move(label), std::move(style), {}, {}};
  for (const M& row : epochs) {
    s.x.push_back(static_cast<double>(row.epoch));
    s.y.push_back(factor * static_cast<double>(row.*member));
  }
  return s;
}

bool moves(const std::vector<M>& epochs, double M::*member) {
  return std::ranges::any_of(epochs,
                             [&](const M& row) { return row.*member != epochs[0].*member; });
}

// What the line of a candidate looks like, whatever the run: a colour for each kind, the second of
// a kind dashed. Those of other spaces get what is left, in order of their names.
struct KnownStyle {
  std::string_view name, style;
};
constexpr KnownStyle kKnown[] = {{"none", "grey dotted"},
                                 {"skip_connect", "ink"},
                                 {"max_pool_3x3", "orange"},
                                 {"avg_pool_3x3", "orange dashed"},
                                 {"sep_conv_3x3", "blue"},
                                 {"sep_conv_5x5", "blue dashed"},
                                 {"dil_conv_3x3", "purple"},
                                 {"dil_conv_5x5", "purple dashed"}};
constexpr std::array<std::string_view, 9> kOthers = {"green",
                                                     "red",
                                                     "brown",
                                                     "green dashed",
                                                     "red dashed",
                                                     "brown dashed",
                                                     "green dotted",
                                                     "red dotted",
                                                     "brown dotted"};

// In the order in which the edges list them, each once.
std::vector<Series> candidate_styles(const std::vector<SpaceEdge>& edges) {
  std::vector<Series> styles;
  std::set<std::string> others;
  for (const SpaceEdge& edge : edges) {
    for (const std::string& name : edge.candidates) {
      if (std::ranges::find(styles, name, &Series::label) != styles.end()) continue;
      const auto known = std::ranges::find(kKnown, name, &KnownStyle::name);
      if (known == std::end(kKnown)) others.insert(name);
      styles.push_back({name, known == std::end(kKnown) ? "" : std::string(known->style), {}, {}});
    }
  }
  for (Series& s : styles) {
    if (!s.style.empty()) continue;
    const auto place = static_cast<size_t>(std::distance(others.begin(), others.find(s.label)));
    s.style = kOthers[place % kOthers.size()];
  }
  return styles;
}

std::string kept_on(const SpaceEdge& edge, const CellGenotype& derived) {
  std::vector<std::string> names;
  for (const GenotypeEdge& e : derived.edges) {
    if (e.from == edge.from && e.to == edge.to) names.push_back(escape(e.op));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

double largest_weight(const std::vector<EpochCells>& epochs,
                      EdgeRows CandidateWeights::*rows,
                      std::vector<double> CandidateWeights::*own) {
  double largest = 0;
  const auto look_at = [&](const std::vector<double>& row) {
    for (const double w : row) largest = is_drawable(w) ? std::max(largest, w) : largest;
  };
  for (const EpochCells& epoch : epochs) {
    std::ranges::for_each(epoch.weights.*rows, look_at);
    look_at(epoch.weights.*own);
  }
  return largest;
}

}  // namespace

std::string metric_figures(const std::vector<M>& epochs) {
  const auto plot = [&](const char* title, const char* unit, std::vector<Series> lines) {
    return Plot{.title = fmt::format("{} over the epochs", title),
                .x_label = "epoch",
                .y_label = unit,
                .series = std::move(lines)};
  };
  const auto add = [&](const char* label, const char* style, auto member, double factor = 1) {
    return series(epochs, label, style, member, factor);
  };
  std::string html = figure(
      "Loss",
      plot("Loss",
           "cross entropy, nats",
           {add("train", "blue", &M::train_loss), add("search", "orange", &M::search_loss)}));
  Plot accuracy = plot("Accuracy and discretisation gap",
                       "%",
                       {add("train", "blue", &M::train_accuracy, 100),
                        add("search", "orange", &M::search_accuracy, 100),
                        add("derived", "green", &M::discrete_accuracy, 100),
                        add("gap", "grey dashed", &M::discretisation_gap, 100)});
  accuracy.from_zero = true;
  html += figure("Accuracy, and the gap between search and derived", accuracy);
  Plot skips = plot("Skip connections in the derived cells",
                    "count",
                    {add("normal cell", "blue", &M::skip_normal),
                     add("reduction cell", "orange dashed", &M::skip_reduce)});
  skips.from_zero = skips.whole = true;
  html += figure("Skip connections in the derived cells", skips);
  Plot entropy = plot("Entropy of the candidates' weights",
                      "mean over edges, nats",
                      {add("normal cell", "blue", &M::entropy_normal),
                       add("reduction cell", "orange dashed", &M::entropy_reduce)});
  entropy.from_zero = true;
  html += figure("Entropy of the candidates’ weights", entropy);
  Plot rate = plot("Learning rate", "per step", {add("learning rate", "blue", &M::lr)});
  rate.legend = false;
  rate.from_zero = true;
  html += figure("Learning rate of the weights", rate);
  if (moves(epochs, &M::temperature)) {
    Plot temperature =
        plot("Temperature", "temperature", {add("temperature", "blue", &M::temperature)});
    temperature.legend = false;
    temperature.from_zero = true;
    html += figure("Temperature of the relaxation", temperature);
  }
  return html;
}

std::string weight_figures(const std::vector<SpaceEdge>& edges,
                           const std::vector<EpochCells>& epochs,
                           EdgeRows CandidateWeights::*rows,
                           std::vector<double> CandidateWeights::*own,
                           const CellGenotype& derived) {
  std::vector<Series> styles = candidate_styles(edges);
  const bool has_own = std::ranges::any_of(
      epochs, [&](const EpochCells& epoch) { return !(epoch.weights.*own).empty(); });
  const Series whole{"the edge itself", "red dotted", {}, {}};
  if (has_own) styles.push_back(whole);
  std::string html = line_legend(styles, 900);
  const double largest = largest_weight(epochs, rows, own);
  for (size_t i = 0; i < edges.size(); ++i) {
    const SpaceEdge& edge = edges[i];
    if (i == 0 || edges[i - 1].to != edge.to)
      html += fmt::format("{}<div class=\"row\">\n", i == 0 ? "" : "</div>\n");
    const std::string name = fmt::format("{} → {}", state_label(edge.from), state_label(edge.to));
    Plot plot{.title = fmt::format("Weights of the candidates on edge {} over the epochs", name),
              .x_label = "epoch",
              .y_label = "weight",
              .series = {},
              .x_range = std::pair(static_cast<double>(epochs.front().epoch),
                                   static_cast<double>(epochs.back().epoch)),
              .y_range = std::pair(0.0, largest),
              .legend = false,
              .small = true,
              .width = 196,
              .height = 146};
    const auto draw = [&](Series line, const auto& weight) {
      for (const EpochCells& epoch : epochs) {
        line.x.push_back(static_cast<double>(epoch.epoch));
        line.y.push_back(weight(epoch.weights));
      }
      plot.series.push_back(std::move(line));
    };
    for (size_t k = 0; k < edge.candidates.size(); ++k)
      draw(*std::ranges::find(styles, edge.candidates[k], &Series::label),
           [&](const CandidateWeights& w) { return (w.*rows)[i][k]; });
    if (has_own)
      draw(whole, [&](const CandidateWeights& w) {
        return (w.*own).empty() ? std::nan("") : (w.*own)[i];
      });
    html += figure(fmt::format("<b>{}</b> <span>{}</span>", name, kept_on(edge, derived)), plot);
  }
  return html + (edges.empty() ? "" : "</div>\n");
}

}  // namespace oche::nas::report
