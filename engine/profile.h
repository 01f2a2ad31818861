// Where time and bytes go: while a Profiler lives, every op that its thread applies is recorded.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace oche {

enum class ProfileKind {
  kOp,        // an op applied, or a kernel called outside of ops
  kBackward,  // an op's backward rule, which applies ops in turn
  kPhase,     // a stretch of work; its own time is what fell outside of the ops in it
  kWhole,     // the same, except that the ops in it are not looked at
  kLabel,     // a slice of the timeline only (see diagnose.h); its time belongs to what it is in
};

// All calls of one op with one caller.
struct ProfileRow {
  ProfileKind kind;
  std::string_view name, caller;  // caller: the op whose backward rule called; empty: none
  int64_t calls = 0;
  int64_t bytes = 0;                    // inputs read and outputs written
  int64_t macs = 0;                     // multiply-adds
  std::chrono::nanoseconds own_time{};  // without that of the ops, rules and phases within
};

// One of these calls, in order of their ends; so a parent comes after its children.
struct ProfileEvent {
  ProfileKind kind;
  std::string_view name, caller;
  std::chrono::nanoseconds begin, end;  // since the profiler began
  int64_t bytes, macs;
  int64_t live;  // bytes that tensors hold afterwards
};

// Records what its thread does; one that begins while another lives takes its place for a while.
class Profiler {
 public:
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  static Profiler* active();  // of this thread; nullptr: none

  // Sums over the calls that have ended, labels left out. When none is under way, what their own
  // times lack to elapsed() was spent outside of all of them.
  std::vector<ProfileRow> rows() const;
  std::chrono::nanoseconds elapsed() const { return Clock::now() - start_; }

  // Single calls are kept while this is on; of ops and rules no more than kMaxEvents.
  void keep_events(bool on) { keeps_events_ = on; }
  const std::vector<ProfileEvent>& events() const { return events_; }
  static constexpr size_t kMaxEvents = 100'000;

 private:
  friend class ProfileScope;
  struct Frame {
    ProfileKind kind;
    std::string_view name, caller;
    std::chrono::nanoseconds begin, within{};  // within: the time of recorded calls inside
    int64_t bytes = 0, macs = 0;
  };

  bool begin(ProfileKind kind, std::string_view name);  // false: not recorded, end() must not come
  void end();
  std::string_view intern(std::string_view name);

  using Clock = std::chrono::steady_clock;
  using Key = std::tuple<ProfileKind, std::string_view, std::string_view>;
  Profiler* const previous_;
  bool keeps_events_ = false;
  std::set<std::string, std::less<>> names_;
  std::map<Key, ProfileRow> rows_;
  std::vector<ProfileEvent> events_;
  std::vector<Frame> frames_;
  const Clock::time_point start_ = Clock::now();
};

// A call, from here to the end of the scope. Costs a test of a thread-local pointer when no
// profiler lives.
class ProfileScope {
 public:
  ProfileScope(ProfileKind kind, std::string_view name) : profiler_(Profiler::active()) {
    if (profiler_ && !profiler_->begin(kind, name)) profiler_ = nullptr;
  }
  ~ProfileScope() {
    if (profiler_) profiler_->end();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  // True iff the call is recorded.
  explicit operator bool() const { return profiler_ != nullptr; }
  void count(int64_t bytes, int64_t macs = 0);

 private:
  Profiler* profiler_;
};

}  // namespace oche
