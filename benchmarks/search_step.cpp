// Times whole search steps on random images: search_step LAYERS CHANNELS BATCH GRADIENT REPEATS
// THREADS. Prints one JSON object: milliseconds (median, min, max), images per second, peak bytes
// of tensors, peak resident MiB of the process.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/random.h"
#include "engine/runtime.h"
#include "nas/search.h"

namespace {

using namespace oche;

nas::Batch random_batch(int64_t n, uint64_t seed) {
  RandomWords words(random_key(seed, 0, Purpose::kPerturb), 0);
  std::vector<float> pixels(n * 32 * 32 * 3);
  std::vector<int64_t> labels(n);
  for (float& p : pixels) p = static_cast<float>(words.next()) / 2147483648.0F - 1;
  for (int64_t& label : labels) label = words.below(10);
  return {Tensor::from(pixels, {n, 32, 32, 3}), Tensor::from(labels, {n})};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    fmt::print(stderr, "usage: search_step LAYERS CHANNELS BATCH GRADIENT REPEATS THREADS\n");
    return 2;
  }
  nas::SearchConfig c;
  c.layers = std::stoll(argv[1]);
  c.channels = std::stoll(argv[2]);
  c.batch = std::stoll(argv[3]);
  c.gradient = argv[4];
  const int repeats = std::stoi(argv[5]);
  set_num_threads(std::stoi(argv[6]));

  nas::SearchState state(c, 3, 10);
  const nas::Batch train = random_batch(c.batch, 1), validation = random_batch(c.batch, 2);
  constexpr int kWarmUp = 2;
  std::vector<double> ms;
  for (int i = 0; i < kWarmUp + repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    state.step(train, validation, c.lr, i);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (i >= kWarmUp) ms.push_back(took.count());
  }
  std::sort(ms.begin(), ms.end());
  const double median = ms[ms.size() / 2];
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "{{\"bench\": \"search_step\", \"layers\": {}, \"channels\": {}, \"batch\": {}, "
      "\"gradient\": \"{}\", \"threads\": {}, "
      "\"ms\": {{\"median\": {:.1f}, \"min\": {:.1f}, \"max\": {:.1f}, \"n\": {}}}, "
      "\"train_images_per_s\": {:.1f}, "
      "\"peak_tensor_mib\": {:.1f}, \"peak_resident_mib\": {:.1f}}}\n",
      c.layers,
      c.channels,
      c.batch,
      c.gradient,
      num_threads(),
      median,
      ms.front(),
      ms.back(),
      ms.size(),
      1e3 * static_cast<double>(c.batch) / median,
      static_cast<double>(memory_stats().peak) / 1048576.0,
      static_cast<double>(usage.ru_maxrss) / 1024.0);
}
