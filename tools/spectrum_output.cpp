// What `oche hessian` says of spectra.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "nas/report/html.h"
#include "nas/report/plot.h"
#include "nas/spread.h"
#include "tools/spectrum.h"

namespace oche::tools {
namespace {

using nas::report::escape;
using nas::report::figure;
using nas::report::Plot;

// Over the batches, each by itself.
nas::Spread over_batches(const Spectrum& s) {
  return nas::spread_of(s.each, nas::Better::kHigher);
}

std::string along_epochs(const std::vector<HessianPoint>& points, size_t spectrum) {
  const Spectrum& first = points.front().spectra[spectrum];
  Plot plot{"Largest eigenvalues over the epochs", "epoch", "eigenvalue"};
  for (size_t k = 0; k < first.values.size(); ++k) {
    plot.series.push_back({k == 0 ? "largest" : fmt::format("number {}", k + 1),
                           k == 0 ? "blue" : "grey dashed",
                           {},
                           {}});
    for (const HessianPoint& p : points) {
      const std::vector<double>& values = p.spectra[spectrum].values;
      if (k >= values.size() || !p.spectra[spectrum].is_within(p.spectra[spectrum].residuals[k]))
        continue;
      plot.series.back().x.push_back(static_cast<double>(p.epoch));
      plot.series.back().y.push_back(values[k]);
    }
  }
  return figure(fmt::format("Largest eigenvalues, {}", first.of), plot);
}

std::string density_figure(const HessianPoint& p, const Spectrum& s) {
  // Most eigenvalues of the weights are close to 0: only a logarithm shows the others.
  Plot plot{"Spectral density", "eigenvalue", "log10 of the density"};
  plot.series.push_back({"density", "blue", s.density->at, {}});
  for (const double d : s.density->density)
    plot.series.back().y.push_back(std::log10(std::max(d, 1e-8)));
  plot.legend = false;
  return figure(fmt::format("Density, {}, epoch {}: {:.1f} % clearly below 0",
                            s.of,
                            p.epoch,
                            100 * s.density->negative),
                plot);
}

std::string slice_figure(const HessianPoint& p, const Spectrum& s) {
  Plot plot{"Loss along the first eigenvector", "distance", "nats"};
  plot.series.push_back({s.loss, "orange", s.slice_at, s.slice_loss});
  return figure(fmt::format("{} along the first eigenvector, {}, epoch {}", s.loss, s.of, p.epoch),
                plot);
}

}  // namespace

std::string spectra_table(const HessianPoint& p) {
  std::string text = fmt::format("{}, epoch {}, step {}: {}, {} of {} images each\n",
                                 p.source,
                                 p.epoch,
                                 p.step,
                                 to_string(p.dtype),
                                 p.batches == 1 ? "a batch" : fmt::format("{} batches", p.batches),
                                 p.batch);
  for (const Spectrum& s : p.spectra) {
    text += fmt::format("  {} ({} of them, {}{}): {} products, {:.2f} s\n",
                        s.of,
                        s.size,
                        s.loss,
                        s.decay > 0 ? fmt::format(", decay {:g} added", s.decay) : ", no decay",
                        s.products,
                        s.seconds);
    for (size_t i = 0; i < s.values.size(); ++i)
      text += fmt::format("    {:>14.6e}  residual {:.1e}{}\n",
                          s.values[i],
                          s.residuals[i],
                          s.is_within(s.residuals[i]) ? "" : "  !");
    if (std::ssize(s.values) < s.asked)  // in an invariant space there are no others
      text += fmt::format(
          "    {} of {} values{}\n", s.values.size(), s.asked, s.converged ? "" : "  !");
    text += fmt::format("    {:>14.6e}  residual {:.1e}{} (the least seen)\n",
                        s.least,
                        s.least_residual,
                        s.is_within(s.least_residual) ? "" : "  !");
    if (!s.each.empty()) {
      const nas::Spread spread = over_batches(s);
      text += fmt::format("    each batch: mean {:.4e}, deviation {:.1e}, n {}{}\n",
                          spread.mean,
                          spread.deviation,
                          spread.n,
                          std::ranges::count(s.each_converged, false) > 0 ? "  !" : "");
    }
    if (s.density)
      text += fmt::format("    density: {:.1f} % clearly below 0, mean {:.4e}\n",
                          100 * s.density->negative,
                          s.density->mean);
    if (!s.all.empty())
      text +=
          fmt::format("    all of them: {} below 0, {} are 0 but for rounding, the least {:.4e}\n",
                      s.signs.negative,
                      s.signs.zero,
                      s.all.front());
  }
  return text;
}

Json to_json(const HessianPoint& p) {
  Json document = {{"source", p.source},
                   {"epoch", p.epoch},
                   {"step", p.step},
                   {"dtype", to_string(p.dtype)},
                   {"batches", p.batches},
                   {"batch", p.batch},
                   {"spectra", Json::array()}};
  for (const Spectrum& s : p.spectra) {
    Json j = {{"of", s.of},
              {"loss", s.loss},
              {"size", s.size},
              {"decay", s.decay},
              {"values", s.values},
              {"residuals", s.residuals},
              {"least", s.least},
              {"least_residual", s.least_residual},
              {"least_converged", s.is_within(s.least_residual)},
              {"allowed_residual", s.allowed},
              {"converged", s.converged},
              {"each_batch", s.each},
              {"each_batch_residuals", s.each_residuals},
              {"each_batch_converged", s.each_converged},
              {"products", s.products},
              {"seconds", s.seconds}};
    if (s.density)
      j["density"] = {{"at", s.density->at},
                      {"density", s.density->density},
                      {"negative", s.density->negative},
                      {"mean", s.density->mean}};
    if (!s.all.empty())
      j["all"] = {{"values", s.all}, {"negative", s.signs.negative}, {"zero", s.signs.zero}};
    if (!s.slice_at.empty()) j["slice"] = {{"at", s.slice_at}, {"loss", s.slice_loss}};
    document["spectra"].push_back(std::move(j));
  }
  return document;
}

std::string csv_of(const std::vector<HessianPoint>& points) {
  std::string text = "epoch,step,of,kind,x,y,valid\n";
  for (const HessianPoint& p : points) {
    for (const Spectrum& s : p.spectra) {
      const auto line = [&](const std::string& kind, double x, double y, bool valid = true) {
        text +=
            fmt::format("{},{},{},{},{},{},{}\n", p.epoch, p.step, s.of, kind, x, y, valid ? 1 : 0);
      };
      const auto value = [&](const std::string& kind, size_t x, double y, double residual) {
        const bool valid = s.is_within(residual);
        line(kind + "eigenvalue", static_cast<double>(x), y, valid);
        line(kind + "residual", static_cast<double>(x), residual, valid);
      };
      for (size_t i = 0; i < s.values.size(); ++i) value("", i + 1, s.values[i], s.residuals[i]);
      value("least ", 1, s.least, s.least_residual);
      for (size_t i = 0; i < s.each.size(); ++i) {
        line("batch eigenvalue", static_cast<double>(i), s.each[i], s.each_converged[i]);
        line("batch residual", static_cast<double>(i), s.each_residuals[i], s.each_converged[i]);
      }
      for (size_t i = 0; s.density && i < s.density->at.size(); ++i)
        line("density", s.density->at[i], s.density->density[i]);
      for (size_t i = 0; i < s.all.size(); ++i) line("all", static_cast<double>(i + 1), s.all[i]);
      for (size_t i = 0; i < s.slice_at.size(); ++i)
        line("slice", s.slice_at[i], s.slice_loss[i], s.is_within(s.residuals.front()));
    }
  }
  return text;
}

std::string hessian_page(const std::vector<HessianPoint>& points) {
  const HessianPoint& first = points.front();
  std::string html = nas::report::page_start(
      "Hessians of a search",
      fmt::format("{}; {} of {} images of each half.",
                  to_string(first.dtype),
                  first.batches == 1 ? "one batch" : fmt::format("{} batches", first.batches),
                  first.batch));
  html += "<h2>Curves</h2>\n<div class=\"grid\">\n";
  for (size_t i = 0; i < first.spectra.size(); ++i) {
    if (points.size() > 1) html += along_epochs(points, i);
    for (const HessianPoint& p : points) {
      if (p.spectra[i].density) html += density_figure(p, p.spectra[i]);
      if (!p.spectra[i].slice_at.empty() && p.spectra[i].is_within(p.spectra[i].residuals.front()))
        html += slice_figure(p, p.spectra[i]);
    }
  }
  html += "</div>\n<h2>All figures</h2>\n";
  for (const HessianPoint& p : points) {
    html += fmt::format("<pre>{}</pre>\n", escape(spectra_table(p)));
    for (const std::string& fault : faults_of(p))
      html += fmt::format("<p>! {}</p>\n", escape(fault));
  }
  return html.append(nas::report::kPageEnd);
}

}  // namespace oche::tools
