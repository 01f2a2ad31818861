// Writes the run directory.
#include "nas/run_directory.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <variant>

#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/file.h"
#include "engine/ops.h"
#include "nas/checkpoint.h"
#include "nas/metrics.h"
#include "nas/picture.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr std::string_view kFiles[] = {"config.toml",
                                       "env.json",
                                       "metrics.csv",
                                       "events.jsonl",
                                       "genotypes.jsonl",
                                       "genotype.json",
                                       "genotype.txt",
                                       "weights.safetensors",
                                       "normal.svg",
                                       "reduce.svg",
                                       "normal.dot",
                                       "reduce.dot",
                                       "trace.json"};

fs::path epoch_checkpoint(int64_t epoch) {
  return fs::path("ckpt") / fmt::format("epoch-{:04}.safetensors", epoch);
}

fs::path step_checkpoint(int64_t step) {
  return fs::path("ckpt") / fmt::format("step-{:08}.safetensors", step);
}

bool is_checkpoint(const std::string& name) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (const std::string_view kind : {"epoch-", "step-"}) {
    if (!name.starts_with(kind)) continue;
    const auto end = std::find_if_not(name.begin() + std::ssize(kind), name.end(), is_digit);
    return std::string_view(end, name.end()) == ".safetensors";
  }
  return false;
}

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw IoError("create the directory", path, error.value());
}

// Of the entries of a directory; none where it is missing.
std::vector<fs::path> entries_of(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    paths.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw IoError("list the directory", directory, error.value());
  }
  return paths;
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) throw IoError("remove", path, error.value());
}

json event(std::string_view type) {
  return {{"schema", kSchema},
          {"type", type},
          {"time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
}

void append_event(const fs::path& run, const json& event) {
  append_to_file(run / "events.jsonl", event.dump() + "\n");
}

// Rows of numbers with 17 digits, which read back to the same bits.
std::string alpha_json(const Tensor& alpha) {
  const NoGrad no_grad;
  const std::vector<double> values = cast(alpha, DType::kFloat64).to_vector<double>();
  const int64_t columns = alpha.size(1);
  std::vector<std::string> rows;
  for (auto row = values.begin(); row != values.end(); row += columns) {
    std::vector<std::string> numbers;
    for (auto v = row; v != row + columns; ++v) numbers.push_back(fmt::format("{:.16e}", *v));
    rows.push_back(fmt::format("[{}]", fmt::join(numbers, ",")));
  }
  return fmt::format("[{}]", fmt::join(rows, ","));
}

std::string op_counts_json(const CellGenotype& cell) {
  std::map<std::string, int> counts;
  for (const GenotypeEdge& edge : cell.edges) ++counts[edge.op];
  return json(counts).dump();
}

std::string genotype_line(const ArchParameters& arch, const EpochReport& report) {
  const Genotype& g = report.genotype;
  return fmt::format(
      R"({{"schema":{},"epoch":{},"alphas":{{"normal":{},"reduce":{}}},)"
      R"("op_counts":{{"normal":{},"reduce":{}}},"skip_count":{{"normal":{},"reduce":{}}},)"
      R"("genotype":{}}})"
      "\n",
      kSchema,
      report.epoch + 1,
      alpha_json(arch.normal()),
      alpha_json(arch.reduce()),
      op_counts_json(g.normal),
      op_counts_json(g.reduce),
      count_op(g.normal, "skip_connect"),
      count_op(g.reduce, "skip_connect"),
      json::parse(to_json(g)).dump());
}

}  // namespace

bool is_kept(int64_t epoch, int64_t epochs, int64_t keep_every) {
  if (keep_every > 0) return epoch % keep_every == 0;
  return epoch == 1 || epoch == (epochs + 1) / 2 || epoch == epochs;
}

RunDirectory::RunDirectory(fs::path path, Existing existing, int64_t keep_every)
    : path_(std::move(path)), keep_every_(keep_every) {
  if (keep_every < 0) {
    throw std::invalid_argument(
        fmt::format("--keep-every: {} is not allowed; expected 0 or more epochs", keep_every));
  }
  if (existing == Existing::kRefuse && !entries_of(path_).empty()) {
    throw std::invalid_argument(
        fmt::format("run directory {} is not empty; use --force to replace the run in it, or name "
                    "another directory",
                    quote(path_.native(), 4096)));
  }
  make_directory(path_ / "ckpt");
  remove_former_run();
}

void RunDirectory::remove_former_run() const {
  sweep_temporaries(path_);
  sweep_temporaries(path_ / "ckpt");
  for (const std::string_view name : kFiles) remove_file(path_ / name);
  for (const fs::path& file : entries_of(path_ / "ckpt")) {
    if (is_checkpoint(file.filename().native())) remove_file(file);
  }
}

void RunDirectory::write_config(const std::string& toml) {
  write_file_atomically(path_ / "config.toml", toml);
  config_toml_ = toml;
}

void RunDirectory::write_environment(const std::string& json) const {
  write_file_atomically(path_ / "env.json", json);
}

void RunDirectory::record_start(Search& search) const {
  const SearchConfig& c = search.config();
  json start = event("start");
  start["method"] = c.method;
  start["dataset"] = c.dataset;
  start["seed"] = c.seed;
  start["epochs"] = c.epochs;
  start["steps_per_epoch"] = search.steps_per_epoch();
  start["weights"] = search.state().network.weights().numel();
  start["alphas"] = search.state().arch.alphas().numel();
  append_event(path_, start);
  append_to_file(path_ / "metrics.csv", csv_header());
}

// The checkpoint comes last: whoever continues from one finds the rows of all its epochs.
void RunDirectory::record_epoch(Search& search, const EpochReport& report) const {
  const EpochMetrics metrics = metrics_of(report);
  append_to_file(path_ / "genotypes.jsonl", genotype_line(search.state().arch, report));
  append_to_file(path_ / "metrics.csv", csv_row(metrics));
  json line = event("epoch");
  for (const MetricColumn& column : metric_columns()) {
    std::visit([&](auto member) { line[std::string(column.name)] = metrics.*member; },
               column.member);
  }
  append_event(path_, line);
  save_checkpoint(path_ / epoch_checkpoint(metrics.epoch), search, config_toml_);
  drop_checkpoint(metrics.epoch - 2, search.config().epochs);
}

void RunDirectory::drop_checkpoint(int64_t epoch, int64_t epochs) const {
  if (epoch >= 1 && !is_kept(epoch, epochs, keep_every_)) {
    remove_file(path_ / epoch_checkpoint(epoch));
  }
}

std::vector<std::string> RunDirectory::finish(Search& search, const SearchResult& result) const {
  std::vector<std::string> written;
  json end = event("end");
  end["finished"] = result.finished;
  end["steps"] = search.steps_done();
  if (result.finished) {
    const auto write = [&](const std::string& name, const std::string& text) {
      write_file_atomically(path_ / name, text);
      written.push_back(name);
    };
    write("genotype.json", to_json(result.genotype));
    if (has_text(result.genotype)) write("genotype.txt", to_text(result.genotype) + "\n");
    save_weights(path_ / "weights.safetensors", search);
    written.push_back("weights.safetensors");
    for (const std::string_view cell : {"normal", "reduce"}) {
      written.push_back(write_picture(result.genotype, cell));
    }
    end["train_accuracy"] = result.train_accuracy;
    end["search_accuracy"] = result.search_accuracy;
    end["discrete_accuracy"] = result.discrete_accuracy;
  } else {
    const fs::path checkpoint = step_checkpoint(search.steps_done());
    save_checkpoint(path_ / checkpoint, search, config_toml_);
    written.push_back(checkpoint.native());
  }
  append_event(path_, end);
  return written;
}

std::string RunDirectory::write_picture(const Genotype& genotype, std::string_view cell) const {
  const std::string dot = cell_to_dot(cell == "normal" ? genotype.normal : genotype.reduce,
                                      fmt::format("{} cell", cell));
  const std::optional<std::string> svg = dot_to_svg(dot);
  const std::string name = fmt::format("{}.{}", cell, svg ? "svg" : "dot");
  write_file_atomically(path_ / name, svg ? *svg : dot);
  return name;
}

}  // namespace oche::nas
