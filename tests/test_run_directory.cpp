// The run directory: which files, and figures that read back to the same bits.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/ops.h"
#include "engine/safetensors.h"
#include "nas/metrics.h"
#include "nas/report/page.h"
#include "nas/run_comparison.h"
#include "nas/run_summary.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

const std::string kStart =
    R"({"schema": 1, "type": "start", "method": "darts", "dataset": "patterns", "seed": 0, "epochs": 1,)"
    R"( "steps_per_epoch": 1, "weights": 1, "alphas": 1)";

std::set<std::string> files_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_directory()) names.insert(fs::relative(entry.path(), directory).native());
  }
  return names;
}

}  // namespace

TEST_CASE("a run leaves its files, and nothing else") {
  const TinyRun& t = tiny();
  REQUIRE(t.written.size() == 6);
  const std::string picture = t.written[4].substr(t.written[4].rfind('.'));
  CHECK((picture == ".svg" || picture == ".dot"));
  const std::set<std::string> expected = {"ckpt/epoch-0001.safetensors",
                                          "ckpt/epoch-0002.safetensors",
                                          "config.toml",
                                          "env.json",
                                          "events.jsonl",
                                          "genotype.json",
                                          "genotype.txt",
                                          "genotypes.jsonl",
                                          "metrics.csv",
                                          "normal" + picture,
                                          "reduce" + picture,
                                          "report.html",
                                          "weights.safetensors"};
  CHECK(files_in(t.run.path()) == expected);
  CHECK(t.written == std::vector<std::string>{"genotype.json",
                                              "genotype.txt",
                                              "weights.safetensors",
                                              "normal" + picture,
                                              "reduce" + picture,
                                              "report.html"});
  CHECK(read_file(t.file("report.html")) == report::page_of(t.run.path()));
  CHECK(read_file(t.file("config.toml")) == kToml);
  CHECK(parse_genotype(read_file(t.file("genotype.json"))) == t.result.genotype);
  CHECK(parse_genotype(read_file(t.file("genotype.txt"))) == t.result.genotype);
}

TEST_CASE("metrics.csv has one row an epoch, with every figure exact") {
  const TinyRun& t = tiny();
  const std::string csv = read_file(t.file("metrics.csv"));
  CHECK(csv.starts_with(
      "epoch,lr,train_loss,search_loss,train_accuracy,search_accuracy,discrete_accuracy,"
      "discretisation_gap,skip_normal,skip_reduce,entropy_normal,entropy_reduce,temperature,"
      "seconds,images_per_second,peak_bytes\r\n"));
  CHECK(csv.ends_with("\r\n"));
  const std::vector<EpochMetrics> rows = parse_metrics(csv, "metrics.csv");
  REQUIRE(rows.size() == 2);
  for (size_t i = 0; i < rows.size(); ++i) {
    const EpochReport& r = t.reports[i];
    CHECK(rows[i].epoch == static_cast<int64_t>(i) + 1);
    CHECK(rows[i].train_loss == r.train_loss);
    CHECK(rows[i].search_loss == r.validation_loss);
    CHECK(rows[i].discretisation_gap == r.search_accuracy - r.discrete_accuracy);
    CHECK(rows[i].skip_normal == count_op(r.genotype.normal, "skip_connect"));
    CHECK(rows[i].entropy_normal == mean_entropy(r.weights.normal));
    CHECK(rows[i].entropy_reduce == mean_entropy(r.weights.reduce));
    CHECK(rows[i].entropy_reduce != rows[i].entropy_normal);
    CHECK(rows[i].temperature == 1);
    CHECK(rows[i].images_per_second == r.images_per_second);
    CHECK(rows[i].images_per_second > 0);
    CHECK(rows[i].peak_bytes == r.peak_bytes);
  }
}

TEST_CASE("genotypes.jsonl holds the alphas of each epoch to the bit") {
  const TinyRun& t = tiny();
  const std::string text = read_file(t.file("genotypes.jsonl"));
  const std::vector<std::string_view> lines = whole_lines(text);
  REQUIRE(lines.size() == 2);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto line = nlohmann::json::parse(lines[i]);
    std::vector<float> values;
    for (const auto& row : line["alphas"]["normal"]) {
      CHECK(row.size() == 8);
      for (const auto& v : row) values.push_back(v.get<float>());
    }
    CHECK(same_bits(Tensor::from(values, {5, 8}), t.alphas[i]));
    const Tensor scores = softmax(cast(t.alphas[i], DType::kFloat64), 1);
    std::vector<double> weights;
    for (const auto& row : line["weights"]["normal"]) {
      for (const auto& v : row) weights.push_back(v.get<double>());
    }
    CHECK(weights == scores.to_vector<double>());
    const CellGenotype& cell = t.reports[i].genotype.normal;
    CHECK(parse_genotype_json(line["genotype"].dump()) == t.reports[i].genotype);
    CHECK(line["skip_count"]["normal"] == count_op(cell, "skip_connect"));
    CHECK(line["op_counts"]["normal"][cell.edges[0].op] == count_op(cell, cell.edges[0].op));
  }
}

TEST_CASE("genotypes.jsonl holds what edges have of their own, where they do") {
  SearchConfig c = tiny_config();
  c.epochs = 1;
  c.edge_weights = "softmax";
  TinyRun t(c);
  const auto line = nlohmann::json::parse(read_file(t.file("genotypes.jsonl")));
  const ArchParameters& arch = t.search.state().arch;
  const CandidateWeights& weights = t.reports[0].weights;
  for (const auto& [cell, beta, own] :
       {std::tuple("normal", arch.normal_edges(), weights.normal_edges),
        {"reduce", arch.reduce_edges(), weights.reduce_edges}}) {
    CAPTURE(cell);
    CHECK(same_bits(Tensor::from(line["betas"][cell].get<std::vector<float>>(), {5}), beta));
    CHECK(line["edge_weights"][cell].get<std::vector<double>>() == own);
  }
  CHECK(line["betas"]["normal"] != line["betas"]["reduce"]);
  const auto newest = read_newest_architecture(t.run.path());
  CHECK(newest->alphas.reduce_edges.to_vector<double>() ==
        line["betas"]["reduce"].get<std::vector<double>>());
  CHECK_FALSE(read_newest_architecture(tiny().run.path())->alphas.reduce_edges);
  const std::string plain = read_file(tiny().file("genotypes.jsonl"));
  CHECK_FALSE((contains(plain, "betas") || contains(plain, "edge_weights")));
}

TEST_CASE("the entropy of a cell is the mean over its edges, of shares of each edge's weights") {
  CHECK(mean_entropy({{0.125, 0.125, 0.125, 0.125}}) == Approx(std::log(4)));  // gates, divided
  CHECK(mean_entropy({{0, 1, 0}, {0.5, 0.5, 0}}) == Approx(std::log(2) / 2));
  CHECK(mean_entropy({{0.25, 0.75}}) == Approx(-0.25 * std::log(0.25) - 0.75 * std::log(0.75)));
  CHECK(mean_entropy({{0, 0}, {1, 1}}) == Approx(std::log(2) / 2));
  CHECK(mean_entropy({}) == 0);
  CHECK(std::isnan(mean_entropy({{std::nan(""), 1}, {1, 1}})));
}

TEST_CASE("a summary tells what the run recorded") {
  const TinyRun& t = tiny();
  const RunSummary summary = read_run(t.run.path());
  CHECK(summary.method == "darts");
  CHECK(summary.dataset == "patterns");
  CHECK(summary.epochs_planned == 2);
  CHECK(summary.steps_per_epoch == 4);
  CHECK(summary.alphas == 2 * 5 * 8);
  for (const std::vector<SpaceEdge>& edges : {summary.edges.normal, summary.edges.reduce}) {
    REQUIRE(edges.size() == 5);
    CHECK((edges[3].from == 1 && edges[3].to == 3));
    CHECK(std::ranges::equal(edges[4].candidates, darts_primitives()));
  }
  CHECK(summary.epochs.size() == 2);
  CHECK(summary.state == RunSummary::State::kFinished);
  CHECK(summary.accuracies.value().search == t.result.search_accuracy);
  CHECK(summary.genotype == t.result.genotype);
  REQUIRE(summary.checkpoints.size() == 2);
  CHECK(summary.checkpoints[1].path.filename() == "epoch-0002.safetensors");
}

TEST_CASE("the environment names processor and versions, not the machine") {
  const auto environment = nlohmann::json::parse(environment_json(kToml, 5));
  CHECK(environment["seed"] == 5);
  CHECK(environment["threads"] > 0);
  CHECK(environment["libraries"]["fmt"].get<std::string>().find('.') != std::string::npos);
  CHECK(environment["config_sha256"].get<std::string>().size() == 64);
  CHECK(environment["config_sha256"] !=
        nlohmann::json::parse(environment_json("layers = 4\n", 5))["config_sha256"]);
  CHECK(environment_changes(environment_json(kToml, 5), environment_json(kToml, 5)).empty());
  CHECK(environment_changes(environment_json(kToml, 5), environment_json(kToml, 6)) ==
        std::vector<std::string>{"seed"});
  std::array<char, 256> host{};
  REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
  for (const std::string& file :
       {read_file(tiny().file("env.json")), read_file(tiny().file("events.jsonl"))}) {
    CHECK_FALSE(contains(file, host.data()));
  }
}

TEST_CASE("a directory with anything in it is refused; --force replaces the run alone") {
  const TemporaryDirectory root;
  const fs::path path = root.path() / "a" / "run";
  RunDirectory(path, Existing::kRefuse);
  fs::remove(path / "ckpt");
  RunDirectory(path, Existing::kRefuse);  // empty is as good as absent
  const std::set<std::string> foreign = {
      "notes.txt", "ckpt/best.safetensors", "ckpt/epoch-x.safetensors", "epoch-0001.safetensors"};
  std::set<std::string> files = foreign;
  files.insert({"metrics.csv",
                "weights.safetensors",
                "report.html",
                "genotype.json.1-0.oche-tmp",
                "ckpt/epoch-0012.safetensors",
                "ckpt/step-00000007.safetensors",
                "ckpt/epoch-0013.safetensors.1-0.oche-tmp"});
  for (const std::string& name : files) append_to_file(path / name, "x");

  const std::string refusal =
      message_of<std::invalid_argument>([&] { RunDirectory(path, Existing::kRefuse); });
  CHECK(contains(refusal, "'" + path.native() + "' is not empty; use --force"));
  CHECK(files_in(path) == files);
  RunDirectory(path, Existing::kReplace);
  CHECK(files_in(path) == foreign);

  CHECK_THROWS_AS(RunDirectory(path / "notes.txt", Existing::kReplace), IoError);
  CHECK_THROWS_AS(RunDirectory(root.path() / "b", Existing::kRefuse, {.keep_every = -1}),
                  std::invalid_argument);
}

TEST_CASE("the last two checkpoints are kept, and those the policy asks for") {
  SearchConfig config = tiny_config();
  config.epochs = 7;
  Search search(config, images());
  const auto kept = [&](int64_t keep_every) {
    const TemporaryDirectory root;
    RunDirectory run(root.path(), Existing::kRefuse, {.keep_every = keep_every});
    EpochReport report = tiny().reports[0];
    for (report.epoch = 0; report.epoch < config.epochs; ++report.epoch) {
      run.record_epoch(search, report);
    }
    std::string epochs;
    for (const std::string& name : files_in(root.path() / "ckpt")) {
      epochs += std::to_string(std::stoi(name.substr(6))) + " ";
    }
    return epochs;
  };
  CHECK(kept(0) == "1 4 6 7 ");
  CHECK(kept(3) == "3 6 7 ");
  CHECK(kept(100) == "6 7 ");
}

TEST_CASE("a search that was ended early leaves a checkpoint of its last step") {
  const TemporaryDirectory root;
  Search search(tiny_config(), images());
  RunDirectory run(root.path(), Existing::kRefuse);
  run.start(search, kToml);
  CHECK(read_run(root.path()).state == RunSummary::State::kRunning);
  Recorder recorder(search, run, 3);
  const std::vector<std::string> written = run.finish(search, search.run(recorder));
  CHECK(written == std::vector<std::string>{"ckpt/step-00000003.safetensors", "report.html"});
  CHECK(contains(read_file(root.path() / "report.html"), "interrupted, 0 of 2 epochs"));
  const SafetensorsFile file = SafetensorsFile::open(root.path() / written[0]);
  CHECK(file.metadata().at("step") == "3");
  CHECK(file.metadata().at("adam_step") == "3");
  CHECK(file.metadata().at("epoch") == "0");
  const RunSummary summary = read_run(root.path());
  CHECK(summary.state == RunSummary::State::kInterrupted);
  CHECK(summary.epochs.empty());
  CHECK_FALSE(summary.genotype.has_value());
}

TEST_CASE("malformed records are refused by file and line") {
  const std::string header = csv_header(), row = csv_row(metrics_of(tiny().reports[0]));
  CHECK(parse_metrics(header + row + row.substr(0, 9), "m").size() == 1);  // a torn end
  const auto refusal = [](const std::string& csv) {
    return message_of<FormatError>([&] { parse_metrics(csv, "m.csv"); });
  };
  CHECK(contains(refusal(""), "m.csv: line 1"));
  CHECK(contains(refusal("epoch,lr\n"), "'epoch,lr' is not the header"));
  CHECK(contains(refusal(header + row + "1,2\n"), "m.csv: line 3: 2 fields; expected 16"));
  CHECK(contains(refusal(header + "x" + row), "line 2, epoch: 'x1' is not a whole number"));

  const TemporaryDirectory root;
  CHECK_THROWS_AS(read_run(root.path()), IoError);
  append_to_file(root.path() / "metrics.csv", header);
  const fs::path events = root.path() / "events.jsonl";
  for (const auto& [line, expected] :
       {std::pair<std::string, std::string>{"[]", "line 1: expected an object"},
        {R"({"type": "end"})", "line 1: schema: expected a whole number, found nothing"},
        {R"({"schema": 2, "type": "end"})", "line 1: schema 2; expected 1"},
        {R"({"schema": 1, "type": "end", "finished": 1})", "finished: expected true or false"},
        {R"({"schema": 18446744073709551615, "type": "end"})",
         "schema: 18446744073709551615 is too"},
        {R"({"schema": 1, "schema": 1})", "line 1"},
        {kStart + R"(})", "line 1: no edges and candidates, so an older version began this run"},
        {kStart + R"(, "edges": {"normal": []}})", "line 1: no edges and candidates"},
        {kStart + R"(, "edges": {}, "candidates": {}})", "line 1: edges, candidates: "},
        {R"({"schema": 1, "type": "end", "finished": true, "reason": "it was time", )"
         R"("train_accuracy": 0, "search_accuracy": 0, "discrete_accuracy": 0})",
         "genotype_of_epoch: expected a whole number, found nothing"},
        {kStart + R"(, "edges": {"normal": [[0]]}, "candidates": {"normal": [["a"]]}})",
         "edges, candidates"},
        {kStart + R"(, "edges": {"normal": [[2, 2]]}, "candidates": {"normal": [["a"]]}})",
         "edges: '[2,2]' is none"},
        {kStart + R"(, "edges": {"normal": [[0, 2]]}, "candidates": {"normal": []}})",
         "edges, candidates"},
        {kStart + R"(, "edges": {"normal": []}, "candidates": {"normal": [["a"]]}})",
         "candidates: more than edges"},
        {"{", "line 1"}}) {
    CAPTURE(line);
    write_file_atomically(events, line + "\n");
    const std::string message = message_of<FormatError>([&] { read_run(root.path()); });
    CHECK(contains(message, "events.jsonl"));
    CHECK(contains(message, expected));
  }
  write_file_atomically(events, std::string(R"({"schema": 1, "type": "a-later-one"})") + "\n");
  CHECK(read_run(root.path()).epochs.empty());
}
