// Fuzz target: checkpoints, weight files and states, read in every way there is into the smallest
// search there is.
#include <optional>
#include <string>

#include "engine/error.h"
#include "engine/runtime.h"
#include "nas/checkpoint.h"
#include "nas/data/patterns.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

namespace {

// What the seeds were written by: scripts/fuzz.sh --seeds.
SearchConfig smallest() {
  SearchConfig c;
  c.layers = c.channels = c.steps = c.multiplier = c.stem_multiplier = 1;
  c.train_size = 16;
  c.batch = 8;
  c.epochs = 1;
  return c;
}

Search& search() {
  static const Dataset images = make_patterns({.train = 16, .test = 0}).train;
  static Search search(smallest(), images);
  return search;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  set_num_threads(1);  // the arrays are too small to share
  std::optional<SafetensorsFile> file;
  const bool is_safetensors = fuzz::accepts<FormatError>(
      [&] { file.emplace(std::string(fuzz::text_of(data, size)), "fuzz.safetensors"); });
  if (!is_safetensors) return 0;
  const bool has_alphas = fuzz::accepts<FormatError>([&] {
    const SavedAlphas saved = read_alphas(*file);
    fuzz::require(saved.space.normal.rows() == saved.tables.normal.size(0), "alphas are a cell's");
    fuzz::require(parse_space(to_json(saved.space)) == saved.space, "a space reads back");
  });
  const bool starts =
      fuzz::accepts<FormatError>([&] { load_initial_state(search().state(), *file); });
  const bool resumes = fuzz::accepts<FormatError>([&] {
    verify_checkpoint(*file);
    load_checkpoint(search(), *file);
    fuzz::require(search().progress().steps >= 0, "a search has taken 0 steps or more");
  });
  fuzz::accepted = has_alphas || starts || resumes;
  return 0;
}
