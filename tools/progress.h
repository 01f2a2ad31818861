// What a search shows while it runs: a live line or one from time to time, and one an epoch.
#pragma once

#include <chrono>
#include <cstdint>

#include "nas/search.h"
#include "tools/console.h"

namespace oche::tools {

class Progress {
 public:
  // Of a search that starts, or goes on, after `steps_before` steps.
  Progress(Console& console, int64_t epochs, int64_t steps_before);

  void step(const nas::StepReport& report);
  void epoch(const nas::EpochReport& report);

 private:
  using Clock = std::chrono::steady_clock;

  Console& console_;
  int64_t epochs_, steps_before_;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

}  // namespace oche::tools
