// Fuzz target: checkpoints, weight files and states, read into the smallest network there is.
#include "engine/error.h"
#include "engine/runtime.h"
#include "nas/checkpoint.h"
#include "tests/fuzz/memory_file.h"

using namespace oche;
using namespace oche::nas;

namespace {

// What the seeds were written by: scripts/fuzz.sh --seeds.
SearchConfig smallest() {
  SearchConfig c;
  c.layers = c.channels = c.steps = c.multiplier = c.stem_multiplier = 1;
  return c;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static SearchState state = [] {
    set_num_threads(1);  // the arrays are too small to share
    return SearchState(smallest(), 3, 10);
  }();
  const std::string_view contents = fuzz::text_of(data, size);
  const bool has_alphas = fuzz::accepts<FormatError>([&] {
    const SafetensorsFile file{std::string(contents), "fuzz.safetensors"};
    const AlphaTables alphas = read_alphas(file);
    fuzz::require(edge_count(steps_of(alphas)) == alphas.normal.size(0), "alphas are a cell's");
  });
  const fuzz::MemoryFile file(contents);
  const bool loads = fuzz::accepts<FormatError>([&] { load_initial_state(state, file.path()); });
  fuzz::accepted = has_alphas || loads;
  return 0;
}
