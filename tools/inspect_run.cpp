// Describes a run directory.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "nas/run_summary.h"
#include "tools/genotype_output.h"
#include "tools/inspect.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;
using nas::EpochMetrics;
using nas::RunSummary;

constexpr size_t kRows = 10;  // of the epochs, at the end

struct File {
  std::string name;  // relative to the run
  uintmax_t bytes;
};

std::vector<File> files_in(const fs::path& directory) {
  std::vector<File> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) {
      files.push_back({entry.path().lexically_relative(directory).native(), entry.file_size()});
    }
  }
  std::ranges::sort(files, {}, &File::name);
  return files;
}

Json to_json(const EpochMetrics& metrics) {
  Json row;
  for (const nas::MetricColumn& column : nas::metric_columns()) {
    std::visit([&](auto member) { row[std::string(column.name)] = metrics.*member; },
               column.member);
  }
  return row;
}

Json to_json(const RunSummary& run, const std::vector<File>& files) {
  Json document = {{"schema", 1},
                   {"kind", "run"},
                   {"method", run.method},
                   {"dataset", run.dataset},
                   {"seed", run.seed},
                   {"state", name_of(run.state)},
                   {"epochs_planned", run.epochs_planned},
                   {"steps_per_epoch", run.steps_per_epoch},
                   {"weights", run.weights},
                   {"alphas", run.alphas},
                   {"epochs", Json::array()}};
  for (const EpochMetrics& metrics : run.epochs) document["epochs"].push_back(to_json(metrics));
  if (run.accuracies) {
    document["accuracies"] = {{"train", run.accuracies->train},
                              {"search", run.accuracies->search},
                              {"discrete", run.accuracies->discrete}};
  }
  if (run.genotype) document["genotype"] = Json::parse(nas::to_json(*run.genotype));
  for (const File& file : files) document["files"][file.name] = file.bytes;
  return document;
}

void print_epochs(const std::vector<EpochMetrics>& epochs) {
  if (epochs.empty()) return;
  fmt::print("\n{:>6} {:>9} {:>18} {:>30} {:>11} {:>13} {:>9}\n",
             "epoch",
             "lr",
             "loss train/search",
             "accuracy train/search/derived",
             "skips n/r",
             "entropy n/r",
             "images/s");
  const size_t first = epochs.size() > kRows ? epochs.size() - kRows : 0;
  if (first > 0) fmt::print("   ...\n");
  for (size_t i = first; i < epochs.size(); ++i) {
    const EpochMetrics& m = epochs[i];
    fmt::print(
        "{:>6} {:>9.5f} {:>9.4f} {:>8.4f} {:>10.2f} % {:>6.2f} % {:>6.2f} % {:>7} {:>3} {:>6.3f} "
        "{:>6.3f} {:>9.1f}\n",
        m.epoch,
        m.lr,
        m.train_loss,
        m.search_loss,
        100 * m.train_accuracy,
        100 * m.search_accuracy,
        100 * m.discrete_accuracy,
        m.skip_normal,
        m.skip_reduce,
        m.entropy_normal,
        m.entropy_reduce,
        m.images_per_second);
  }
}

void print_text(const fs::path& directory, const RunSummary& run, const std::vector<File>& files) {
  fmt::print("run      {}\n", directory.native());
  fmt::print("search   {} on {}, seed {}\n", run.method, run.dataset, run.seed);
  fmt::print("state    {}, {} of {} epochs of {} steps\n",
             name_of(run.state),
             run.epochs.size(),
             run.epochs_planned,
             run.steps_per_epoch);
  fmt::print("network  {} weights, {} alphas\n", run.weights, run.alphas);
  print_epochs(run.epochs);
  if (run.accuracies) {
    fmt::print("\nwhole halves: accuracy train {:.2f} %, search {:.2f} %, derived {:.2f} %\n",
               100 * run.accuracies->train,
               100 * run.accuracies->search,
               100 * run.accuracies->discrete);
  }
  if (run.genotype) fmt::print("{}\n", text_or_json(*run.genotype));
  fmt::print("\n");
  for (const File& file : files) fmt::print("{:>12}  {}\n", file.bytes, file.name);
}

}  // namespace

void inspect_run(const fs::path& directory, bool as_json) {
  const RunSummary run = nas::read_run(directory);
  const std::vector<File> files = files_in(directory);
  if (as_json) {
    print_json(to_json(run, files));
  } else {
    print_text(directory, run, files);
  }
}

}  // namespace oche::tools
