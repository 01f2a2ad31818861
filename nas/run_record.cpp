// Appends to the record of a run, and cuts it back.
#include "nas/run_record.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"
#include "engine/ops.h"
#include "nas/metrics.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr int kSchema = 1;

json event(std::string_view type) {
  return {{"schema", kSchema},
          {"type", type},
          {"time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
}

void append_line(const fs::path& path, const json& object) {
  append_to_file(path, object.dump() + "\n");
}

// With 17 digits, which read back to the same bits; null is not finite.
std::string numbers_json(const std::vector<double>& values) {
  std::vector<std::string> numbers;
  for (const double v : values)
    numbers.push_back(std::isfinite(v) ? fmt::format("{:.16e}", v) : "null");
  return fmt::format("[{}]", fmt::join(numbers, ","));
}

std::string rows_json(const EdgeRows& table) {
  std::vector<std::string> rows;
  for (const std::vector<double>& row : table) rows.push_back(numbers_json(row));
  return fmt::format("[{}]", fmt::join(rows, ","));
}

std::string alpha_json(const Tensor& alpha) {
  if (!alpha) return "[]";
  const NoGrad no_grad;
  const std::vector<double> values = cast(alpha, DType::kFloat64).to_vector<double>();
  EdgeRows rows;
  for (auto row = values.begin(); row != values.end(); row += alpha.size(1))
    rows.emplace_back(row, row + alpha.size(1));
  return rows_json(rows);
}

// What edges have of their own, where they do; else nothing.
std::string edges_json(Search& search, const CandidateWeights& weights) {
  const ArchParameters& arch = search.state().arch;
  if (!arch.normal_edges() && !arch.reduce_edges()) return "";
  const auto betas = [](const Tensor& beta) {
    const NoGrad no_grad;
    return beta ? numbers_json(cast(beta, DType::kFloat64).to_vector<double>()) : "[]";
  };
  return fmt::format(
      R"("betas":{{"normal":{},"reduce":{}}},"edge_weights":{{"normal":{},"reduce":{}}},)",
      betas(arch.normal_edges()),
      betas(arch.reduce_edges()),
      numbers_json(weights.normal_edges),
      numbers_json(weights.reduce_edges));
}

std::string op_counts_json(const CellGenotype& cell) {
  std::map<std::string, int> counts;
  for (const GenotypeEdge& edge : cell.edges) ++counts[edge.op];
  return json(counts).dump();
}

std::string genotype_line(Search& search, const EpochReport& report) {
  const Genotype& g = report.genotype;
  const ArchParameters& arch = search.state().arch;
  const Space& space = search.state().space;
  const SearchedEdges all = searched_edges(search.config());
  return fmt::format(
      R"({{"schema":{},"epoch":{},"alphas":{{"normal":{},"reduce":{}}},)"
      R"("weights":{{"normal":{},"reduce":{}}},{})"
      R"("op_counts":{{"normal":{},"reduce":{}}},"skip_count":{{"normal":{},"reduce":{}}},)"
      R"("genotype":{}}})"
      "\n",
      kSchema,
      report.epoch + 1,
      alpha_json(arch.normal()),
      alpha_json(arch.reduce()),
      rows_json(spread_rows(report.weights.normal, space.normal, all.normal)),
      rows_json(spread_rows(report.weights.reduce, space.reduce, all.reduce)),
      edges_json(search, report.weights),
      op_counts_json(g.normal),
      op_counts_json(g.reduce),
      count_op(g.normal, "skip_connect"),
      count_op(g.reduce, "skip_connect"),
      json::parse(to_json(g)).dump());
}

// The lines of a growing file that were written whole, without their ends.
struct Lines {
  explicit Lines(const fs::path& path)
      : text(read_file(path, kMaxJsonBytes)), lines(whole_lines(text)) {}
  Lines(const Lines&) = delete;

  std::string text;
  std::vector<std::string_view> lines;  // parts of it
};

// Leaves the first `count` lines.
void cut(const fs::path& path, size_t count) {
  const Lines file(path);
  if (file.lines.size() < count) {
    throw FormatError(fmt::format(
        "{}: {} lines; the checkpoint was taken when there were {}; put the lost lines back",
        path.native(),
        file.lines.size(),
        count));
  }
  const size_t size =
      count == 0 ? 0
                 : file.text.find(
                       '\n', static_cast<size_t>(file.lines[count - 1].data() - file.text.data())) +
                       1;
  write_file_atomically(path, std::string_view(file.text).substr(0, size));
}

// Leaves all events but those of later epochs.
void cut_events(const fs::path& path, int64_t epochs) {
  const Lines file(path);
  std::string kept;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    const nlohmann::json object =
        parse_json(file.lines[i], fmt::format("{}: line {}", path.native(), i + 1));
    const bool is_later = object.is_object() && object.value("type", nlohmann::json()) == "epoch" &&
                          object.value("epoch", nlohmann::json()) > epochs;
    if (!is_later) kept.append(file.lines[i]).append("\n");
  }
  write_file_atomically(path, kept);
}

}  // namespace

RunRecord::RunRecord(const fs::path& directory)
    : metrics_(directory / "metrics.csv"),
      genotypes_(directory / "genotypes.jsonl"),
      events_(directory / "events.jsonl") {}

void RunRecord::start(Search& search) const {
  const SearchConfig& c = search.config();
  json start = event("start");
  start["method"] = c.method;
  start["dataset"] = c.dataset;
  start["seed"] = c.seed;
  start["epochs"] = c.epochs;
  start["steps_per_epoch"] = search.steps_per_epoch();
  start["weights"] = search.state().network.weights().numel();
  start["alphas"] = search.state().arch.alphas().numel();
  const SearchedEdges edges = searched_edges(c);
  for (const auto& [cell, of_cell] :
       {std::pair("normal", &edges.normal), {"reduce", &edges.reduce}}) {
    json ends = json::array(), candidates = json::array();
    for (const SpaceEdge& edge : *of_cell) {
      ends.push_back({edge.from, edge.to});
      candidates.push_back(edge.candidates);
    }
    start["edges"][cell] = std::move(ends);
    start["candidates"][cell] = std::move(candidates);
  }
  append_line(events_, start);
  append_to_file(metrics_, csv_header());
  append_to_file(genotypes_, "");
}

void RunRecord::epoch(Search& search, const EpochReport& report) const {
  const EpochMetrics metrics = metrics_of(report);
  append_to_file(genotypes_, genotype_line(search, report));
  append_to_file(metrics_, csv_row(metrics));
  json line = event("epoch");
  for (const MetricColumn& column : metric_columns()) {
    std::visit([&](auto member) { line[std::string(column.name)] = metrics.*member; },
               column.member);
  }
  if (report.eigenvalue) line["alpha_eigenvalue"] = *report.eigenvalue;
  append_line(events_, line);
}

void RunRecord::end(const Search& search, const SearchResult& result) const {
  json end = event("end");
  end["finished"] = result.finished;
  end["steps"] = search.progress().steps;
  if (result.ending) {
    end["ended_by"] = search.config().stop;
    end["reason"] = result.ending->reason;
    end["genotype_of_epoch"] = result.ending->epoch + 1;
  }
  if (result.finished) {
    end["train_accuracy"] = result.train_accuracy;
    end["search_accuracy"] = result.search_accuracy;
    end["discrete_accuracy"] = result.discrete_accuracy;
  }
  append_line(events_, end);
}

void RunRecord::resume(const Search& search) const {
  const SearchProgress& progress = search.progress();
  const auto epochs = static_cast<size_t>(progress.epochs);
  cut(metrics_, epochs + 1);
  cut(genotypes_, epochs);
  cut_events(events_, progress.epochs);
  json resume = event("resume");
  resume["epoch"] = progress.epochs;
  resume["steps"] = progress.steps;
  append_line(events_, resume);
}

}  // namespace oche::nas
