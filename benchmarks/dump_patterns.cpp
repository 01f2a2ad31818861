// Writes the patterns data set in the record layout of CIFAR-10 but with interleaved colours: a
// label byte, then (32, 32, 3) pixels. Usage: dump_patterns TRAIN_FILE TEST_FILE [TRAIN_SIZE
// TEST_SIZE [SEED]]
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "nas/data/patterns.h"

namespace {

void write(const std::string& path, const oche::nas::Dataset& set) {
  std::ofstream out(path, std::ios::binary);
  out.exceptions(std::ios::failbit | std::ios::badbit);
  for (int64_t i = 0; i < set.size(); ++i) {
    out.put(static_cast<char>(set.labels[static_cast<size_t>(i)]));
    out.write(reinterpret_cast<const char*>(set.pixels.data()) + i * set.image_size(),
              set.image_size());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3 && argc != 5 && argc != 6) {
    std::cerr << "usage: dump_patterns TRAIN_FILE TEST_FILE [TRAIN_SIZE TEST_SIZE [SEED]]\n";
    return 2;
  }
  oche::nas::PatternsOptions options;
  if (argc >= 5) {
    options.train = std::stoll(argv[3]);
    options.test = std::stoll(argv[4]);
  }
  if (argc == 6) options.seed = std::stoull(argv[5]);
  const oche::nas::TrainTest sets = make_patterns(options);
  write(argv[1], sets.train);
  write(argv[2], sets.test);
  return 0;
} catch (const std::exception& e) {
  std::cerr << "dump_patterns: " << e.what() << '\n';
  return 1;
}
