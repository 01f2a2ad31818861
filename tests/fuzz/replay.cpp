// Runs a fuzz target on files, without a fuzzer: replay PATH..., a directory standing for its
// files. A file valid-* has to be accepted and a file refused-* refused, so that the seeds stay
// what they were meant to be.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/file.h"
#include "tests/fuzz/target.h"

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  std::vector<fs::path> files;
  for (const std::string& path : std::vector<std::string>(argv + 1, argv + argc)) {
    if (!fs::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) files.push_back(entry);
  }
  std::ranges::sort(files);
  int accepted = 0, wrong = 0;
  for (const fs::path& file : files) {
    const std::string bytes = oche::read_file(file), name = file.filename();
    fmt::print(stderr, "{}\n", file.native());  // the last one named is the one that crashed
    oche::fuzz::accepted = false;
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    accepted += oche::fuzz::accepted ? 1 : 0;
    if (name.starts_with(oche::fuzz::accepted ? "refused-" : "valid-")) {
      fmt::print(stderr, "{}: {}\n", name, oche::fuzz::accepted ? "accepted" : "refused");
      ++wrong;
    }
  }
  fmt::print("{} inputs, {} accepted, {} not as their name says\n", files.size(), accepted, wrong);
  return files.empty() || wrong > 0 ? 1 : 0;
}
