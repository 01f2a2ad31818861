// The command line of oche bench, which two programs know: oche, which completes and explains it,
// and oche-bench, which does the work.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tools/console.h"

namespace oche::tools {

inline constexpr const char* kBenchPurpose =
    "Time kernels, cells and search steps, checked first, beside the machine's roofs";

struct BenchOptions {
  std::vector<std::string> rows;
  std::string filter, dtype = "f32", device = "cpu";
  bool list = false, json = false;
  int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  int repetitions = 7;
  double min_seconds = 0.05;  // of one repetition
  std::string out, csv, plot;
  std::vector<std::string> compare;
  double ratio = 1.1;
};

void add_bench_options(CLI::App& command, Console& console, BenchOptions& options);

}  // namespace oche::tools
