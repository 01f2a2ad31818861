// What --profile shows: a table, the same as JSON, and a timeline for trace viewers.
#include "tools/profile_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "engine/file.h"

namespace oche::tools {
namespace {

constexpr double kSmall = 1e-3;  // share of the time below which the table sums rows up
constexpr int64_t kCounterStep = 1
                                 << 16;  // bytes; smaller changes do not make a point of the curve

double milliseconds(std::chrono::nanoseconds t) {
  return std::chrono::duration<double, std::milli>(t).count();
}
double per_second(double amount, std::chrono::nanoseconds t) {
  return t.count() > 0 ? amount / std::chrono::duration<double>(t).count() : 0;
}

struct Profile {
  std::chrono::nanoseconds elapsed;
  std::vector<ProfileRow> ops, outside;  // the longest first
};

Profile profile_of(const Profiler& profiler) {
  Profile p{profiler.elapsed(), {}, {}};
  ProfileRow rules{ProfileKind::kBackward, "backward rules", ""},
      rest{ProfileKind::kPhase, "everything else", "", 1};
  rest.own_time = p.elapsed;
  for (const ProfileRow& row : profiler.rows()) {
    rest.own_time -= row.own_time;
    if (row.kind == ProfileKind::kOp) {
      p.ops.push_back(row);
    } else if (row.kind == ProfileKind::kBackward) {
      rules.calls += row.calls;
      rules.own_time += row.own_time;
    } else {
      p.outside.push_back(row);
    }
  }
  p.outside.insert(p.outside.end(), {rules, rest});
  for (std::vector<ProfileRow>* rows : {&p.ops, &p.outside}) {
    std::stable_sort(rows->begin(), rows->end(), [](const auto& a, const auto& b) {
      return a.own_time > b.own_time;
    });
  }
  return p;
}

std::string line(const ProfileRow& r, std::chrono::nanoseconds elapsed) {
  std::string out = fmt::format("{:<22} {:<22} {:>8} {:>10.1f} {:>6.1f} {:>9.3f}",
                                r.name,
                                r.caller,
                                r.calls,
                                milliseconds(r.own_time),
                                100.0 * r.own_time / elapsed,
                                milliseconds(r.own_time) / static_cast<double>(r.calls));
  if (r.bytes > 0) {
    const double bytes = 1e-9 * static_cast<double>(r.bytes);
    out += fmt::format(" {:>9.2f} {:>7.1f}", bytes, per_second(bytes, r.own_time));
  }
  if (r.macs > 0)
    out += fmt::format(" {:>8.1f}", per_second(2e-9 * static_cast<double>(r.macs), r.own_time));
  return out + '\n';
}

std::string_view category(const ProfileEvent& e) {
  switch (e.kind) {
    case ProfileKind::kOp:
      return e.caller.empty() ? "forward" : "backward";
    case ProfileKind::kBackward:
      return "rule";
    case ProfileKind::kLabel:
      return "place";
    default:
      return "phase";
  }
}

// Microseconds, as the format wants them, to the nanosecond.
std::string microseconds(std::chrono::nanoseconds t) {
  return fmt::format("{}.{:03}", t.count() / 1000, t.count() % 1000);
}

}  // namespace

std::string profile_table(const Profiler& profiler) {
  const Profile p = profile_of(profiler);
  std::string out = fmt::format("{:<22} {:<22} {:>8} {:>10} {:>6} {:>9} {:>9} {:>7} {:>8}\n",
                                "op",
                                "in backward of",
                                "calls",
                                "own ms",
                                "%",
                                "ms/call",
                                "GB",
                                "GB/s",
                                "GFLOP/s");
  const auto first_small =
      std::find_if(p.ops.begin(), p.ops.end(), [limit = kSmall * p.elapsed](const auto& r) {
        return r.own_time < limit;
      });
  for (auto row = p.ops.begin(); row != first_small; ++row) out += line(*row, p.elapsed);
  const std::string small_name = fmt::format("{} smaller rows", p.ops.end() - first_small);
  ProfileRow small{ProfileKind::kOp, small_name, ""};
  for (auto row = first_small; row != p.ops.end(); ++row) {
    small.calls += row->calls;
    small.bytes += row->bytes;
    small.own_time += row->own_time;
  }
  if (small.calls > 0) out += line(small, p.elapsed);
  out += "outside of ops\n";
  for (const ProfileRow& row : p.outside) {
    if (row.calls > 0) out += line(row, p.elapsed);
  }
  return out + fmt::format("{:<54} {:>10.1f}", "in all", milliseconds(p.elapsed));
}

Json profile_json(const Profiler& profiler) {
  const Profile p = profile_of(profiler);
  Json ops = Json::array(), outside = Json::array();
  for (const ProfileRow& r : p.ops) {
    ops.push_back({{"op", r.name},
                   {"backward_of", r.caller.empty() ? Json() : Json(r.caller)},
                   {"calls", r.calls},
                   {"own_ms", milliseconds(r.own_time)},
                   {"bytes", r.bytes},
                   {"macs", r.macs}});
  }
  for (const ProfileRow& r : p.outside) {
    outside.push_back({{"part", r.name}, {"calls", r.calls}, {"own_ms", milliseconds(r.own_time)}});
  }
  return {{"ms", milliseconds(p.elapsed)}, {"ops", ops}, {"outside_of_ops", outside}};
}

void write_trace(const Profiler& profiler, const std::filesystem::path& path) {
  std::string out =
      R"({"displayTimeUnit":"ms","traceEvents":[
{"name":"process_name","ph":"M","pid":1,"tid":1,"args":{"name":"oche search"}},
{"name":"thread_name","ph":"M","pid":1,"tid":1,"args":{"name":"steps"}})";
  int64_t live = -kCounterStep;
  for (const ProfileEvent& e : profiler.events()) {
    const std::string name = e.kind == ProfileKind::kBackward
                                 ? fmt::format("backward of {}", e.name)
                                 : std::string(e.name);
    fmt::format_to(std::back_inserter(out),
                   ",\n{{\"name\":{},\"cat\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":1,"
                   "\"ts\":{},\"dur\":{}",
                   Json(name).dump(),
                   category(e),
                   microseconds(e.begin),
                   microseconds(e.end - e.begin));
    if (e.bytes > 0) {
      fmt::format_to(
          std::back_inserter(out), ",\"args\":{{\"bytes\":{},\"macs\":{}}}", e.bytes, e.macs);
    }
    out += '}';
    if (std::abs(e.live - live) >= kCounterStep) {
      fmt::format_to(std::back_inserter(out),
                     ",\n{{\"name\":\"bytes of tensors\",\"ph\":\"C\",\"pid\":1,\"tid\":1,"
                     "\"ts\":{},\"args\":{{\"live\":{}}}}}",
                     microseconds(e.end),
                     e.live);
      live = e.live;
    }
  }
  write_file_atomically(path, out + "\n]}\n");
}

}  // namespace oche::tools
