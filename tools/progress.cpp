// Formats the progress of a search.
#include "tools/progress.h"

#include <fmt/format.h>

#include <string>

namespace oche::tools {
namespace {

constexpr std::chrono::milliseconds kLiveInterval{100};
constexpr std::chrono::seconds kLineInterval{30};

// "41 s", "12 min 05 s", "3 h 20 min"
std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Progress::Progress(Console& console, int64_t epochs, int64_t steps_before)
    : console_(console), epochs_(epochs), steps_before_(steps_before) {}

void Progress::step(const nas::StepReport& r) {
  const Clock::time_point now = Clock::now();
  const bool live = console_.has_live_line();
  const bool first = live && shown_ == start_;
  if (!first && now - shown_ < (live ? Clock::duration(kLiveInterval) : kLineInterval)) return;
  shown_ = now;
  const int64_t done = r.epoch * r.steps + r.step + 1;
  const double left = seconds_between(start_, now) * static_cast<double>(epochs_ * r.steps - done) /
                      static_cast<double>(done - steps_before_);
  const std::string line = fmt::format(
      "epoch {}/{}  step {}/{}  loss train {:.4f}, search {:.4f}  {:.1f} images/s  {} left",
      r.epoch + 1,
      epochs_,
      r.step + 1,
      r.steps,
      r.train_loss,
      r.validation_loss,
      r.images_per_second,
      duration(left));
  live ? console_.live(line) : console_.note(line);
}

void Progress::epoch(const nas::EpochReport& r) {
  console_.note(fmt::format(
      "{}  lr {:.5f}  loss train {:.4f}, search {:.4f}  accuracy train {:.2f} %, search {:.2f} %, "
      "derived {:.2f} % (gap {:+.2f})  skips {}  {:.1f} images/s  {}",
      console_.paint(Style::kBold, fmt::format("epoch {}/{}", r.epoch + 1, epochs_)),
      r.lr,
      r.train_loss,
      r.validation_loss,
      100 * r.train_accuracy,
      100 * r.search_accuracy,
      100 * r.discrete_accuracy,
      100 * r.discretisation_gap(),
      nas::count_op(r.genotype.normal, "skip_connect"),
      r.images_per_second,
      duration(r.seconds)));
  if (nas::has_text(r.genotype)) console_.detail("  " + nas::to_text(r.genotype));
  shown_ = Clock::now();
}

}  // namespace oche::tools
