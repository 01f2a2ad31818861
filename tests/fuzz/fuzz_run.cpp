// Fuzz target: events.jsonl, as the summary of a run directory reads it.
#include <fstream>

#include "engine/error.h"
#include "nas/checkpoint_files.h"
#include "nas/published.h"
#include "nas/run_summary.h"
#include "tests/fuzz/target.h"
#include "tests/support/files.h"

using namespace oche;
using namespace oche::nas;

namespace {

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  fuzz::require(file.flush().good(), "a file of the run can be written");
}

// A finished run but for its events.
const std::filesystem::path& run_directory() {
  static const test::TemporaryDirectory directory;
  static const bool written = [] {
    write(directory.path() / "metrics.csv", csv_header());
    write(directory.path() / "genotype.json", to_json(published_genotypes().front().genotype));
    std::filesystem::create_directory(directory.path() / "ckpt");
    write(directory.path() / "ckpt" / epoch_checkpoint_name(3), "");
    return true;
  }();
  fuzz::require(written, "a run directory can be made");
  return directory.path();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  write(run_directory() / "events.jsonl", fuzz::text_of(data, size));
  RunSummary run;
  if (fuzz::accepts<FormatError>([&] { run = read_run(run_directory()); })) {
    for (const int64_t count : {run.epochs_planned, run.steps_per_epoch, run.weights, run.alphas})
      fuzz::require(count >= 0, "counts are not negative");
    const bool finished = run.state == RunSummary::State::kFinished;
    fuzz::require(finished == run.genotype.has_value(), "a finished run has a genotype");
  }
  return 0;
}
