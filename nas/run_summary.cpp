// Reads the run directory.
#include "nas/run_summary.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kSchema = 1;

// A line of events.jsonl, whose members have the type they are asked for or cause a FormatError.
class Event {
 public:
  Event(std::string_view line, std::string place)
      : object_(parse_json(line, place)), place_(std::move(place)) {
    if (!object_.is_object()) throw FormatError(fmt::format("{}: expected an object", place_));
    if (const auto schema = integer<int64_t>("schema"); schema != kSchema) {
      throw FormatError(fmt::format("{}: schema {}; expected {}", place_, schema, kSchema));
    }
  }

  bool has(const char* key) const { return object_.contains(key); }
  std::string text(const char* key) const { return member(key, "a text", &json::is_string); }
  double number(const char* key) const { return member(key, "a number", &json::is_number); }
  bool truth(const char* key) const { return member(key, "true or false", &json::is_boolean); }
  // "edges" and "candidates" of one type of cell, which go together.
  std::vector<SpaceEdge> searched_edges(const char* cell) const {
    if (!has("edges") || !has("candidates")) {
      throw FormatError(
          fmt::format("{}: no edges and candidates, so an older version began this run, which this "
                      "one cannot read as a whole; `oche derive` and `oche inspect` still take its "
                      "checkpoints, the latter its genotype.json as well",
                      place_));
    }
    std::vector<SpaceEdge> edges;
    try {
      const json &ends = object_.at("edges").at(cell),
                 &candidates = object_.at("candidates").at(cell);
      for (const json& pair : ends.get_ref<const json::array_t&>()) {
        const auto [from, to] = pair.get<std::array<int, 2>>();
        if (pair.size() != 2 || from < 0 || from >= to || to < kCellInputs)
          throw FormatError(fmt::format("{}: edges: {} is none", place_, quote(pair.dump())));
        edges.push_back({from, to, candidates.at(edges.size()).get<std::vector<std::string>>()});
      }
      if (candidates.size() == edges.size()) return edges;
    } catch (const json::exception& e) {
      throw FormatError(fmt::format("{}: edges, candidates: {}", place_, e.what()));
    }
    throw FormatError(fmt::format("{}: candidates: more than edges", place_));
  }
  // A count: 0 or more.
  template <typename T>
  T integer(const char* key) const {
    const json& count = member(key, "a whole number", &json::is_number_unsigned);
    if (std::in_range<T>(count.get<uint64_t>())) return count.get<T>();
    throw FormatError(fmt::format("{}: {}: {} is too large", place_, key, count.dump()));
  }

 private:
  const json& member(const char* key,
                     std::string_view expected,
                     bool (json::*holds)() const noexcept) const {
    const auto found = object_.find(key);
    if (found == object_.end() || !((*found).*holds)()) {
      throw FormatError(fmt::format("{}: {}: expected {}, found {}",
                                    place_,
                                    key,
                                    expected,
                                    found == object_.end() ? "nothing" : quote(found->dump())));
    }
    return *found;
  }

  json object_;
  std::string place_;
};

void apply(const Event& event, RunSummary& run) {
  const std::string type = event.text("type");
  if (type == "start") {
    run.method = event.text("method");
    run.dataset = event.text("dataset");
    run.seed = event.integer<uint64_t>("seed");
    run.epochs_planned = event.integer<int64_t>("epochs");
    run.steps_per_epoch = event.integer<int64_t>("steps_per_epoch");
    run.weights = event.integer<int64_t>("weights");
    run.alphas = event.integer<int64_t>("alphas");
    run.edges = {event.searched_edges("normal"), event.searched_edges("reduce")};
    run.state = RunSummary::State::kRunning;
  } else if (type == "resume") {
    run.state = RunSummary::State::kRunning;
  } else if (type == "end") {
    const bool finished = event.truth("finished");
    run.state = finished ? RunSummary::State::kFinished : RunSummary::State::kInterrupted;
    if (finished) {
      run.accuracies = {event.number("train_accuracy"),
                        event.number("search_accuracy"),
                        event.number("discrete_accuracy")};
      if (event.has("reason")) {
        run.reason = event.text("reason");
        run.chosen_epoch = event.integer<int64_t>("genotype_of_epoch");
      }
    }
  }
}

}  // namespace

std::string_view name_of(RunSummary::State state) {
  constexpr std::string_view kNames[] = {"running or killed", "interrupted", "finished"};
  return kNames[static_cast<int>(state)];
}

RunSummary read_run(const fs::path& directory) {
  RunSummary run;
  const fs::path events = directory / "events.jsonl", metrics = directory / "metrics.csv";
  const std::string text = read_file(events, kMaxJsonBytes);
  const std::vector<std::string_view> lines = whole_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    apply(Event(lines[i], fmt::format("{}: line {}", events.native(), i + 1)), run);
  }
  run.epochs = parse_metrics(read_file(metrics, kMaxJsonBytes), metrics.native());
  if (run.state == RunSummary::State::kFinished) {
    const fs::path genotype = directory / "genotype.json";
    run.genotype = parse_genotype_json(read_file(genotype, kMaxGenotypeBytes), genotype.native());
  }
  run.checkpoints = list_checkpoints(directory / "ckpt", run.steps_per_epoch);
  return run;
}

}  // namespace oche::nas
