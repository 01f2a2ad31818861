// Where time and bytes go.
#include "engine/profile.h"

#include "engine/device.h"
#include "engine/storage.h"

namespace oche {
namespace {

thread_local Profiler* current = nullptr;

}  // namespace

Profiler* Profiler::active() {
  return current;
}
Profiler::Profiler() : previous_(current) {
  current = this;
}
Profiler::~Profiler() {
  current = previous_;
}

std::vector<ProfileRow> Profiler::rows() const {
  std::vector<ProfileRow> rows;
  for (const auto& [key, row] : rows_) rows.push_back(row);
  return rows;
}

bool Profiler::begin(ProfileKind kind, std::string_view name) {
  if (kind == ProfileKind::kLabel && !keeps_events_) return false;
  const Frame* parent = frames_.empty() ? nullptr : &frames_.back();
  if (parent && parent->kind == ProfileKind::kWhole) return false;
  std::string_view caller;
  if (parent && (kind == ProfileKind::kOp || kind == ProfileKind::kBackward)) {
    caller = parent->kind == ProfileKind::kBackward ? parent->name : parent->caller;
  }
  frames_.push_back({kind, intern(name), caller, elapsed()});
  return true;
}

void Profiler::end() {
  synchronize(default_device());  // so that the time of an op is that of its kernels
  const Frame frame = frames_.back();
  frames_.pop_back();
  const std::chrono::nanoseconds stop = elapsed(), took = stop - frame.begin;
  const bool is_label = frame.kind == ProfileKind::kLabel;
  if (!frames_.empty()) frames_.back().within += is_label ? frame.within : took;
  if (!is_label) {
    const auto key = Key(frame.kind, frame.name, frame.caller);
    ProfileRow& row =
        rows_.try_emplace(key, ProfileRow{frame.kind, frame.name, frame.caller}).first->second;
    ++row.calls;
    row.bytes += frame.bytes;
    row.macs += frame.macs;
    row.own_time += took - frame.within;
  }
  // What encloses others is kept beyond the limit, so that a full timeline does not lose its
  // outline.
  const bool is_leaf = frame.kind == ProfileKind::kOp || frame.kind == ProfileKind::kBackward;
  if (keeps_events_ && (!is_leaf || events_.size() < kMaxEvents)) {
    events_.push_back({frame.kind,
                       frame.name,
                       frame.caller,
                       frame.begin,
                       stop,
                       frame.bytes,
                       frame.macs,
                       memory_stats().live});
  }
}

std::string_view Profiler::intern(std::string_view name) {
  const auto found = names_.find(name);
  return found != names_.end() ? *found : *names_.emplace(name).first;
}

void ProfileScope::count(int64_t bytes, int64_t macs) {
  if (!profiler_) return;
  profiler_->frames_.back().bytes += bytes;
  profiler_->frames_.back().macs += macs;
}

}  // namespace oche
