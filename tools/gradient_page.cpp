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
      if (!s.variants[i].swept.empty()) continue;
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

// Zero has no logarithm.
bool is_logarithmic(const Study& s, const std::string& swept) {
  return std::ranges::all_of(s.variants,
                             [&](const Variant& v) { return v.swept != swept || v.value > 0; });
}

std::string sweeps(const std::vector<Study>& studies) {
  std::string html;
  for (const Study& s : studies) {
    std::map<std::string, Plot> plots;
    for (size_t i = 0; i < s.variants.size(); ++i) {
      const Variant& v = s.variants[i];
      if (v.swept.empty()) continue;
      const bool logarithmic = is_logarithmic(s, v.swept);
      Plot& plot = plots
                       .try_emplace(v.swept,
                                    Plot{"Relative error against " + v.swept,
                                         (logarithmic ? "log10 of " : "") + v.swept,
                                         "log10 of the relative error"})
                       .first->second;
      add_point(plot.series,
                v,
                s.rows[i],
                logarithmic ? std::log10(v.value) : v.value,
                std::log10(mean_of(s.rows[i], &Agreement::error)));
    }
    for (auto& [key, plot] : plots) {
      if (key == "radius" && is_logarithmic(s, key) &&
          std::ranges::any_of(s.variants, counts_as_darts))
        mark_default(plot);
      html += figure(fmt::format("Error against {}, epoch {}", escape(key), s.subject.epoch), plot);
    }
  }
  return html;
}

std::string cost_against_error(const Study& s) {
  Plot plot{"Cost against error", "log10 of passes", "log10 of the relative error"};
  for (size_t i = 0; i < s.variants.size(); ++i) {
    const Row& row = s.rows[i];
    if (!s.variants[i].swept.empty()) continue;
    add_point(plot.series,
              s.variants[i],
              row,
              std::log10(static_cast<double>(row.passes)),
              std::log10(over_pairs(row, &Agreement::error).mean));
  }
  return figure(fmt::format("Cost against error, epoch {}", s.subject.epoch), plot);
}

std::vector<size_t> places_of(const Study& s, std::string_view by) {
  std::vector<size_t> places;
  const std::vector<nas::GroupAgreement>& groups = s.reference_row.groups;
  for (size_t g = 0; g < groups.size(); ++g)
    if (groups[g].by == by) places.push_back(g);
  return places;
}

std::string error_by_candidate(const Study& s) {
  Plot plot{"Relative error by candidate",
            "candidate, in the order of the table",
            "log10 of the relative error"};
  const std::vector<size_t> places = places_of(s, nas::kByCandidate);
  for (size_t i = 0; i < s.variants.size(); ++i) {
    if (!s.variants[i].swept.empty()) continue;
    for (size_t c = 0; c < places.size(); ++c)
      add_point(plot.series,
                s.variants[i],
                s.rows[i],
                static_cast<double>(c + 1),
                std::log10(s.rows[i].groups[places[c]].agreement.error));
  }
  return figure(fmt::format("Error by candidate, epoch {}", s.subject.epoch), plot);
}

// Cosine and bias of all rows, by what the alphas are grouped by.
std::string groups_table(const Study& s, std::string_view by) {
  const std::vector<size_t> places = places_of(s, by);
  if (places.empty()) return "";
  std::string head, body;
  for (size_t i = 0; i < s.variants.size(); ++i)
    head += fmt::format("<th scope=\"col\">{}{}</th>",
                        escape(s.variants[i].label()),
                        s.rows[i].fault.empty() ? "" : " !");
  for (const size_t g : places) {
    body += fmt::format("<tr><th scope=\"row\">{}</th>", escape(s.reference_row.groups[g].group));
    for (const Row& row : s.rows) {
      const Agreement& a = row.groups[g].agreement;
      body += fmt::format("<td class=\"number\">{:.3f}, {:+.3f}</td>", a.cosine, a.bias);
    }
    body += "</tr>\n";
  }
  return fmt::format(
      "<div class=\"wide\"><table>\n<caption>By {}: cosine, and bias, below 0 where the estimate "
      "favours it</caption>\n<thead><tr><th></th>{}</tr></thead>\n<tbody>\n{}</tbody>\n"
      "</table></div>\n",
      by,
      head,
      body);
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
  if (studies.size() > 1) html += along_epochs(studies);
  html += sweeps(studies);
  for (const Study& s : studies) html += cost_against_error(s) + error_by_candidate(s);
  html += "</div>\n<h2>By groups of the alphas</h2>\n";
  for (const Study& s : studies) {
    html += fmt::format("<h3>Epoch {}</h3>\n", s.subject.epoch);
    for (const std::string_view by :
         {nas::kByTable, nas::kByCandidate, nas::kByCandidateOfTable, nas::kByEdge})
      html += groups_table(s, by);
  }
  html += "<h2>All figures</h2>\n";
  for (const Study& s : studies) {
    html += fmt::format("<pre>{}</pre>\n", escape(study_table(s)));
    if (!s.note.empty()) html += fmt::format("<p>{}</p>\n", escape(s.note));
    for (const std::string& fault : s.faults) html += fmt::format("<p>! {}</p>\n", escape(fault));
  }
  return html.append(nas::report::kPageEnd);
}

}  // namespace oche::tools
