// The page of `oche gradient-error`.
#include "tools/gradient_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "nas/report/html.h"
#include "nas/report/plot.h"
#include "tools/gradient_output.h"

namespace oche::tools {
namespace {

using nas::Agreement;
using nas::report::escape;
using nas::report::figure;
using nas::report::Plot;
using nas::report::Series;

constexpr const char* kStyles[] = {"blue",
                                   "orange",
                                   "green",
                                   "red",
                                   "purple",
                                   "brown",
                                   "ink",
                                   "grey",
                                   "blue dashed",
                                   "orange dashed",
                                   "green dashed",
                                   "red dashed",
                                   "purple dashed",
                                   "brown dashed",
                                   "ink dashed"};

// The line of an estimator, alike in all plots.
Series line_of(const Variant& v) {
  const auto all = nas::estimators();
  const auto place = static_cast<size_t>(v.estimator - all.data());
  return {std::string(v.name()), kStyles[place % std::size(kStyles)], {}, {}};
}

double mean_of(const Row& row, double Agreement::*member) {
  return over_pairs(row, member).mean;
}

// Nothing of a row that is none.
void add_point(std::vector<Series>& lines, const Variant& v, const Row& row, double x, double y) {
  if (!row.fault.empty()) return;
  const Series fresh = line_of(v);
  auto line = std::ranges::find(lines, fresh.label, &Series::label);
  if (line == lines.end()) line = lines.insert(lines.end(), fresh);
  line->x.push_back(x);
  line->y.push_back(y);
}

std::string along_epochs(const std::vector<Study>& studies) {
  Plot cosine{"Cosine with the reference over the epochs", "epoch", "cosine"};
  Plot error{"Relative error over the epochs", "epoch", "log10 of the relative error"};
  for (const Study& s : studies) {
    for (size_t i = 0; i < s.variants.size(); ++i) {
      const auto epoch = static_cast<double>(s.subject.epoch);
      const Row& row = s.rows[i];
      add_point(cosine.series, s.variants[i], row, epoch, mean_of(row, &Agreement::cosine));
      add_point(
          error.series, s.variants[i], row, epoch, std::log10(mean_of(row, &Agreement::error)));
    }
  }
  return figure("Cosine by epoch", cosine) + figure("Error by epoch", error);
}

// A dotted vertical line at DARTS' radius, as high as the lines.
void mark_default(Plot& plot) {
  double low = 0, high = 0;
  for (const Series& s : plot.series) {
    for (const double y : s.y) {
      if (!std::isfinite(y)) continue;
      low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  plot.series.push_back({"DARTS: 0.01", "grey dotted", {-2, -2}, {low, high}});
}

// True iff its radius is over |v|, as DARTS' is.
bool counts_as_darts(const Variant& v) {
  return v.name() == "finite-difference" && v.numbers.at("relative") == 0;
}

std::string sweeps(const std::vector<Study>& studies) {
  std::string html;
  for (const Study& s : studies) {
    std::map<std::string, Plot> plots;
    for (size_t i = 0; i < s.variants.size(); ++i) {
      const Variant& v = s.variants[i];
      if (v.swept.empty()) continue;
      Plot& plot = plots
                       .try_emplace(v.swept,
                                    Plot{"Relative error against " + v.swept,
                                         "log10 of " + v.swept,
                                         "log10 of the relative error"})
                       .first->second;
      add_point(plot.series,
                v,
                s.rows[i],
                std::log10(v.value),
                std::log10(mean_of(s.rows[i], &Agreement::error)));
    }
    for (auto& [key, plot] : plots) {
      if (key == "radius" && std::ranges::any_of(s.variants, counts_as_darts)) mark_default(plot);
      html += figure(fmt::format("Error against {}, epoch {}", escape(key), s.subject.epoch), plot);
    }
  }
  return html;
}

std::string cost_against_error(const Study& s) {
  Plot plot{"Cost against error", "log10 of passes", "log10 of the relative error"};
  for (size_t i = 0; i < s.variants.size(); ++i) {
    const Row& row = s.rows[i];
    add_point(plot.series,
              s.variants[i],
              row,
              std::log10(static_cast<double>(row.passes)),
              std::log10(over_pairs(row, &Agreement::error).mean));
  }
  return figure(fmt::format("Cost against error, epoch {}", s.subject.epoch), plot);
}

// Groups that are neither tables nor edges: candidates.
std::vector<std::string> candidates_of(const Study& s) {
  std::vector<std::string> names;
  for (const nas::AlphaEntry& e : s.subject.entries) {
    const std::string name = nas::by_candidate(e);
    if (std::ranges::count(names, name) == 0) names.push_back(name);
  }
  return names;
}

std::string by_candidates(const Study& s) {
  const std::vector<std::string> names = candidates_of(s);
  Plot plot{"Relative error by candidate",
            "candidate, in the order of the table",
            "log10 of the relative error"};
  std::string head, body;
  for (const std::string& name : names)
    head += fmt::format("<th scope=\"col\">{}</th>", escape(name));
  for (size_t i = 0; i < s.variants.size(); ++i) {
    const Row& row = s.rows[i];
    std::string cells;
    for (size_t c = 0; c < names.size(); ++c) {
      const auto group = std::ranges::find(row.groups, names[c], &nas::GroupAgreement::group);
      if (s.variants[i].swept.empty())
        add_point(plot.series,
                  s.variants[i],
                  row,
                  static_cast<double>(c + 1),
                  std::log10(group->agreement.error));
      cells += fmt::format("<td class=\"number\">{:+.3f}</td>", group->agreement.bias);
    }
    body += fmt::format("<tr><th scope=\"row\">{}{}</th>{}</tr>\n",
                        escape(s.variants[i].label()),
                        row.fault.empty() ? "" : " !",
                        cells);
  }
  std::string html = fmt::format("<h3>Epoch {}</h3>\n", s.subject.epoch);
  if (!plot.series.empty()) html += figure("Error by candidate", plot);
  html += fmt::format(
      "<div class=\"wide\"><table>\n<caption>Bias by candidate: below 0 the estimate favours "
      "it</caption>\n<thead><tr><th></th>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
      head,
      body);
  return html;
}

}  // namespace

std::string gradient_page(const std::vector<Study>& studies) {
  const Subject& first = studies.front().subject;
  std::string html = nas::report::page_start(
      "Architecture gradients against " + studies.front().reference.label(),
      fmt::format("{} weights, {} alphas, {}; {} of batches at each point.",
                  first.weights,
                  first.entries.size(),
                  to_string(first.dtype),
                  studies.front().references.size() == 1
                      ? "one pair"
                      : fmt::format("{} pairs", studies.front().references.size())));
  html += "<h2>Curves</h2>\n<div class=\"grid\">\n";
  const bool is_sweep = std::ranges::any_of(studies.front().variants,
                                            [](const Variant& v) { return !v.swept.empty(); });
  if (is_sweep) html += sweeps(studies);
  if (!is_sweep && studies.size() > 1) html += along_epochs(studies);
  if (!is_sweep)
    for (const Study& s : studies) html += cost_against_error(s);
  html += "</div>\n<h2>By candidate</h2>\n";
  for (const Study& s : studies) html += by_candidates(s);
  html += "<h2>All figures</h2>\n";
  for (const Study& s : studies) {
    html += fmt::format("<pre>{}</pre>\n", escape(study_table(s)));
    for (const std::string& fault : s.faults) html += fmt::format("<p>! {}</p>\n", escape(fault));
  }
  return html.append(nas::report::kPageEnd);
}

}  // namespace oche::tools
