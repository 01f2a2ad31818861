// report.html: a run on one page.
#include "nas/report/page.h"

#include <fmt/format.h>

#include <cmath>

#include "nas/report/cell_figure.h"
#include "nas/report/figures.h"
#include "nas/report/html.h"

namespace oche::nas::report {
namespace {

using M = EpochMetrics;

std::string environment(const ReportData& data, std::string_view key) {
  for (const auto& [name, value] : data.environment) {
    if (name == key) return value;
  }
  return "unknown";
}

std::string heading(const ReportData& data) {
  const RunSummary& run = data.run;
  const std::string title = fmt::format("{} on {}, seed {}", run.method, run.dataset, run.seed);
  return page_start(
      title,
      fmt::format("Architecture search: {}, {} of {} epochs of {} steps{}. {} weights, {} alphas. "
                  "Device {}, oche {} ({}).",
                  name_of(run.state),
                  run.epochs.size(),
                  run.epochs_planned,
                  run.steps_per_epoch,
                  run.reason.empty() ? "" : "; it ended early: " + escape(run.reason),
                  run.weights,
                  run.alphas,
                  escape(environment(data, "device")),
                  escape(environment(data, "version")),
                  escape(environment(data, "revision"))));
}

std::string number(double value, std::string_view format, double factor = 1) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), factor * value) : "not finite";
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format(
      "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td></tr>\n", name, value);
}

std::string table(std::string_view caption, std::string_view rows) {
  return fmt::format(
      "<table>\n<caption>{}</caption>\n<tbody>\n{}</tbody>\n</table>\n", caption, rows);
}

constexpr std::string_view kPercent = "{:.2f} %";

std::string result_table(const RunSummary& run) {
  if (!run.accuracies) return "<p>The search has no result yet.</p>\n";
  return table(
      "Accuracy, whole halves",
      row("train half", number(run.accuracies->train, kPercent, 100)) +
          row("search half", number(run.accuracies->search, kPercent, 100)) +
          row("search half, derived cells", number(run.accuracies->discrete, kPercent, 100)));
}

std::string last_epoch_tables(const M& m) {
  return table(fmt::format("Epoch {}", m.epoch),
               row("loss, train half", number(m.train_loss, "{:.4f} nats")) +
                   row("loss, search half", number(m.search_loss, "{:.4f} nats")) +
                   row("accuracy, train half", number(m.train_accuracy, kPercent, 100)) +
                   row("accuracy, search half", number(m.search_accuracy, kPercent, 100)) +
                   row("accuracy, derived cells", number(m.discrete_accuracy, kPercent, 100)) +
                   row("discretisation gap", number(m.discretisation_gap, "{:.2f} points", 100))) +
         table("Architecture and cost",
               row("skip connections, normal and reduction",
                   fmt::format("{}, {}", m.skip_normal, m.skip_reduce)) +
                   row("entropy, normal cell", number(m.entropy_normal, "{:.4f} nats")) +
                   row("entropy, reduction cell", number(m.entropy_reduce, "{:.4f} nats")) +
                   row("learning rate", number(m.lr, "{:.5f}")) +
                   row("temperature", number(m.temperature, "{:.4g}")) +
                   row("time", number(m.seconds, "{:.1f} s")) +
                   row("speed", number(m.images_per_second, "{:.1f} images/s")) +
                   row("peak of tensors",
                       number(static_cast<double>(m.peak_bytes), "{:.1f} MiB", 1.0 / (1 << 20))));
}

// What the search found; while it runs, what its last epoch would.
const Genotype* derived(const ReportData& data) {
  if (data.run.genotype) return &*data.run.genotype;
  return data.cells.empty() ? nullptr : &data.cells.back().genotype;
}

std::string cells(const Genotype& genotype) {
  std::string html = "<h2>Derived cells</h2>\n";
  for (const auto& [name, cell] :
       {std::pair("Normal cell", &genotype.normal), {"Reduction cell", &genotype.reduce}}) {
    const std::string picture = cell_picture(*cell, name);
    const std::string edges = cell_table(*cell);
    html += fmt::format("<h3>{}</h3>\n", name);
    html +=
        picture.empty()
            ? edges
            : fmt::format("{}<details><summary>Edges</summary>\n{}</details>\n", picture, edges);
  }
  return html;
}

std::string weights(const ReportData& data, const Genotype& genotype) {
  std::string html;
  struct Part {
    const char* title;
    const std::vector<SpaceEdge>& edges;
    EdgeRows CandidateWeights::*rows;
    std::vector<double> CandidateWeights::*own;
    const CellGenotype& derived;
  };
  for (const Part& part : {Part{"Normal cell",
                                data.run.edges.normal,
                                &CandidateWeights::normal,
                                &CandidateWeights::normal_edges,
                                genotype.normal},
                           {"Reduction cell",
                            data.run.edges.reduce,
                            &CandidateWeights::reduce,
                            &CandidateWeights::reduce_edges,
                            genotype.reduce}}) {
    if (part.edges.empty()) continue;
    html += fmt::format(
        "<h2>{}: weights of the candidates</h2>\n<p class=\"note\">A plot for each edge, those "
        "into "
        "one node in a row. Beside the name of an edge stands what the derived cell has on "
        "it.</p>\n{}",
        part.title,
        weight_figures(part.edges, data.cells, part.rows, part.own, part.derived));
  }
  return html;
}

std::string all_epochs(const std::vector<M>& epochs) {
  std::string html =
      "<details><summary>Figures of all epochs</summary>\n<div class=\"wide\"><table>\n<thead><tr>";
  for (const MetricColumn& column : metric_columns())
    html += fmt::format("<th scope=\"col\">{}</th>", column.name);
  html += "</tr></thead>\n<tbody>\n";
  for (const M& epoch : epochs) {
    html += "<tr>";
    for (const MetricColumn& column : metric_columns()) {
      std::visit(
          [&](auto member) {
            html += fmt::format("<td>{:.6g}</td>", static_cast<double>(epoch.*member));
          },
          column.member);
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n</details>\n";
}

std::string settings(const ReportData& data) {
  std::string html = "<h2>Run</h2>\n";
  if (!data.run.epochs.empty()) html += all_epochs(data.run.epochs);
  html += fmt::format("<details><summary>Configuration</summary>\n<pre>{}</pre>\n</details>\n",
                      escape(data.config));
  html += "<details><summary>Environment</summary>\n<table>\n<tbody>\n";
  for (const auto& [name, value] : data.environment) {
    html +=
        fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value));
  }
  return html + "</tbody>\n</table>\n</details>\n";
}

}  // namespace

std::string make_page(const ReportData& data) {
  const Genotype* genotype = derived(data);
  std::string html = heading(data) + "<h2>Figures</h2>\n<div class=\"tables\">\n";
  html += result_table(data.run);
  if (data.run.epochs.empty()) {
    html += "<p>No epoch has ended yet.</p>\n</div>\n";
  } else {
    html += last_epoch_tables(data.run.epochs.back()) + "</div>\n";
  }
  if (genotype) html += cells(*genotype);
  if (!data.run.epochs.empty()) {
    html += fmt::format("<h2>Curves</h2>\n<div class=\"grid\">\n{}</div>\n",
                        metric_figures(data.run.epochs));
  }
  if (!data.cells.empty()) html += weights(data, *genotype);
  return html.append(settings(data)).append(kPageEnd);
}

std::string page_of(const std::filesystem::path& directory) {
  return make_page(read_report_data(directory));
}

}  // namespace oche::nas::report
