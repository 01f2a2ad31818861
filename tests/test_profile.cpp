// The profiler: what is recorded of ops, backward rules, phases and labels, and how times add up.
#include <algorithm>
#include <chrono>
#include <functional>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/ops.h"
#include "engine/profile.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

using Kind = ProfileKind;
using std::chrono::nanoseconds;

// The row of a call; one with no calls where it is missing.
ProfileRow row_of(const Profiler& p,
                  Kind kind,
                  std::string_view name,
                  std::string_view caller = "") {
  for (const ProfileRow& r : p.rows()) {
    if (r.kind == kind && r.name == name && r.caller == caller) return r;
  }
  return {kind, name, caller};
}

Tensor leaf(const Shape& shape) {
  return Tensor::ones(shape, DType::kFloat32).set_requires_grad(true);
}

// Something of every kind.
void work() {
  const Label phase("work", Kind::kPhase);
  const Tensor x = leaf({2, 8, 8, 4}), w = leaf({3, 3, 4, 6});
  Tensor loss;
  {
    const Label label("layer");
    loss = sum(sqrt(conv2d(x, w, {.padding = 1})));
  }
  grad(loss + loss, std::vector{x, w});
}

}  // namespace

TEST_CASE("calls, bytes and multiply-adds of an op are counted") {
  const Tensor x = leaf({2, 8, 8, 4}), w = leaf({3, 3, 4, 6});
  Profiler p;
  conv2d(x, w, {.padding = 1});
  conv2d(x, w, {.padding = 1});
  const ProfileRow r = row_of(p, Kind::kOp, "conv2d");
  CHECK(r.calls == 2);
  CHECK(r.bytes == 2 * 4 * (2 * 8 * 8 * 4 + 3 * 3 * 4 * 6 + 2 * 8 * 8 * 6));
  CHECK(r.macs == 2 * 2 * 8 * 8 * 6 * 4 * 9);
  permute(x, {3, 0, 1, 2});
  CHECK(row_of(p, Kind::kOp, "permute").calls == 1);
  CHECK(row_of(p, Kind::kOp, "permute").bytes == 0);  // a view moves nothing
}

TEST_CASE("what a backward rule applies is told apart from the forward pass") {
  Profiler p;
  work();
  CHECK(row_of(p, Kind::kOp, "conv2d").calls == 1);
  CHECK(row_of(p, Kind::kOp, "conv2d_backward", "conv2d").calls == 1);
  CHECK(row_of(p, Kind::kOp, "conv2d_backward").calls == 0);
  CHECK(row_of(p, Kind::kBackward, "conv2d").calls == 1);
  CHECK(row_of(p, Kind::kPhase, "backward pass").calls == 1);

  // In the derivative of a derivative, the rule is that of the first backward's op.
  const Tensor x = leaf({1, 4, 4, 2}), w = leaf({3, 3, 2, 2});
  const std::vector<Tensor> wanted{w}, v{leaf({3, 3, 2, 2})};
  const Tensor y = conv2d(x, w, {.padding = 1});
  mixed_product(sum(y * y), wanted, v, wanted);
  CHECK(row_of(p, Kind::kOp, "conv2d", "conv2d_weight_grad").calls == 1);
}

TEST_CASE("own times add up to the time of the outermost call, and events lie within each other") {
  Profiler p;
  p.keep_events(true);
  for (int i = 0; i < 3; ++i) work();
  const nanoseconds elapsed = p.elapsed();
  const std::vector<ProfileEvent>& events = p.events();

  nanoseconds own{}, outermost{};
  int64_t calls = 0;
  for (const ProfileRow& r : p.rows()) {
    CHECK(r.own_time.count() >= 0);
    own += r.own_time;
    calls += r.calls;
  }
  const auto is_label = [](const ProfileEvent& e) { return e.kind == Kind::kLabel; };
  for (const ProfileEvent& e : events) {
    if (e.name == "work") outermost += e.end - e.begin;
  }
  CHECK(own == outermost);
  CHECK(own <= elapsed);
  CHECK(calls == std::count_if(events.begin(), events.end(), std::not_fn(is_label)));
  CHECK(std::count_if(events.begin(), events.end(), is_label) == 3);

  CHECK(
      std::is_sorted(events.begin(), events.end(), [](auto& a, auto& b) { return a.end < b.end; }));
  for (size_t i = 0; i < events.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {  // an earlier end: before, or inside
      CHECK((events[k].end <= events[i].begin || events[k].begin >= events[i].begin));
    }
  }
  for (const ProfileEvent& e : events) {
    if (e.name == "conv2d" && e.caller.empty() && e.kind == Kind::kOp) {
      CHECK(e.live >= 4 * 2 * 8 * 8 * (4 + 6));
    }
  }
}

TEST_CASE("a whole phase hides its ops, and nothing is recorded while no profiler lives") {
  const Tensor x = leaf({4});
  {
    Profiler p;
    {
      const ProfileScope whole(Kind::kWhole, "loading");
      sqrt(x);
      const Label label("inside", Kind::kPhase);
    }
    {
      Profiler other;  // takes the place of the first for a while
      sqrt(x);
      CHECK(other.rows().size() == 1);
    }
    CHECK(p.rows().size() == 1);
    CHECK(row_of(p, Kind::kWhole, "loading").calls == 1);
    CHECK(p.events().empty());
    CHECK(Profiler::active() == &p);
  }
  CHECK(Profiler::active() == nullptr);
  CHECK_FALSE(ProfileScope(Kind::kOp, "nothing"));
}

TEST_CASE("an op that throws leaves the profiler in order") {
  Profiler p;
  CHECK_THROWS(conv2d(leaf({1, 4, 4, 3}), leaf({3, 3, 2, 2}), {}));
  sqrt(leaf({4}));
  CHECK(row_of(p, Kind::kOp, "sqrt").calls == 1);
  CHECK(row_of(p, Kind::kOp, "sqrt").caller.empty());
}
