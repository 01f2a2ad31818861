// Uploads: what a device reads is what was sent, however late its queues come to their work. The
// device is simulated: two queues that run when they like, and events between them.
#include <array>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/upload.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

constexpr int64_t kSize = 4;
using Bytes = std::array<std::byte, kSize>;

// The waits that a driver can forget.
enum class Wait { kNone, kHostForCopy, kCopiesForUse, kWorkForCopy };

class SimulatedDevice final : public UploadDriver {
 public:
  SimulatedDevice(unsigned seed, Wait forgotten) : random_(seed), forgotten_(forgotten) {}

  std::byte* on_host(int slot) override { return host_.at(slot).data(); }
  const std::byte* on_device(int slot) override { return device_.at(slot).data(); }
  void host_awaits_copy(int slot) override {
    if (forgotten_ == Wait::kHostForCopy) return;
    while (copied_.at(slot).passed < copied_.at(slot).recorded) run_some();
  }
  void copies_await_use(int slot) override {
    if (forgotten_ != Wait::kCopiesForUse) wait(copies_, used_.at(slot));
  }
  void copy(int slot, int64_t bytes) override {
    copies_.push_back([this, slot, bytes] {
      std::copy_n(host_.at(slot).begin(), bytes, device_.at(slot).begin());
      return true;
    });
    record(copies_, copied_.at(slot));
    run_some();
  }
  void work_awaits_copy(int slot) override {
    if (forgotten_ != Wait::kWorkForCopy) wait(work_, copied_.at(slot));
  }
  void mark_use(int slot) override {
    record(work_, used_.at(slot));
    run_some();
  }

  // A kernel that reads what lies there when its turn comes.
  void launch(const std::byte* from) {
    work_.push_back([this, from] {
      std::copy_n(from, kSize, read_.emplace_back().begin());
      return true;
    });
  }
  // All that the kernels read, once they have run.
  const std::vector<Bytes>& finish() {
    while (!copies_.empty() || !work_.empty()) run_some();
    return read_;
  }

 private:
  struct Event {
    int recorded = 0, passed = 0;
  };
  // Returns false where it cannot run yet.
  using Queue = std::deque<std::function<bool()>>;

  static void wait(Queue& queue, const Event& event) {
    queue.push_back([&event, moment = event.recorded] { return event.passed >= moment; });
  }
  static void record(Queue& queue, Event& event) {
    queue.push_back([&event, moment = ++event.recorded] {
      event.passed = moment;
      return true;
    });
  }
  // One queue gets some way, the other none.
  void run_some() {
    Queue& queue = random_() % 2 == 0 ? copies_ : work_;
    for (unsigned steps = random_() % 5; steps > 0 && !queue.empty() && queue.front()(); --steps) {
      queue.pop_front();
    }
  }

  std::mt19937 random_;
  const Wait forgotten_;
  std::array<Bytes, Upload::kSlots> host_ = {}, device_ = {};
  std::array<Event, Upload::kSlots> copied_, used_;
  Queue copies_, work_;
  std::vector<Bytes> read_;
};

// True iff every kernel of a run read what was sent for it: two kernels for each of twenty uploads,
// of which one or two are under way.
bool arrives(unsigned seed, Wait forgotten) {
  auto owned = std::make_unique<SimulatedDevice>(seed, forgotten);
  SimulatedDevice& device = *owned;
  Upload upload(std::move(owned));
  std::mt19937 random(seed + 1);
  std::vector<Bytes> want;
  int sent = 0;
  const auto send = [&] {
    const Bytes bytes = {std::byte(++sent), std::byte(2 * sent), std::byte(3), std::byte(sent)};
    upload.send(kSize, [&](std::byte* to) { std::copy_n(bytes.begin(), kSize, to); });
    want.insert(want.end(), 2, bytes);
  };
  while (sent < 20 || upload.pending() > 0) {
    const bool may_send = sent < 20 && upload.pending() < Upload::kSlots;
    if (may_send && (upload.pending() == 0 || random() % 2 == 0)) {
      send();
    } else {
      upload.receive([&](const std::byte* from) {
        device.launch(from);
        device.launch(from);
      });
    }
  }
  return device.finish() == want;
}

}  // namespace

TEST_CASE("a device reads what was sent for it, and each wait is needed for that") {
  for (const Wait forgotten :
       {Wait::kNone, Wait::kHostForCopy, Wait::kCopiesForUse, Wait::kWorkForCopy}) {
    int wrong = 0;
    for (unsigned seed = 0; seed < 500; ++seed) wrong += arrives(seed, forgotten) ? 0 : 1;
    CAPTURE(static_cast<int>(forgotten), wrong);
    CHECK((wrong == 0) == (forgotten == Wait::kNone));
  }
}

TEST_CASE("uploads keep their turns when one fails") {
  auto owned = std::make_unique<SimulatedDevice>(1, Wait::kNone);
  SimulatedDevice& device = *owned;
  Upload upload(std::move(owned));
  const auto send = [&](int value) {
    upload.send(kSize, [&](std::byte* to) { std::fill_n(to, kSize, std::byte(value)); });
  };
  const auto receive = [&] { upload.receive([&](const std::byte* from) { device.launch(from); }); };
  const auto fails = [](auto*) { throw std::runtime_error("no"); };
  CHECK_THROWS_AS(receive(), std::logic_error);
  CHECK_THROWS_AS(upload.send(kSize, fails), std::runtime_error);
  CHECK(upload.pending() == 0);
  send(1);
  send(2);
  CHECK_THROWS_AS(send(3), std::logic_error);
  CHECK_THROWS_AS(upload.receive(fails), std::runtime_error);
  CHECK(upload.pending() == 2);
  receive();
  CHECK_THROWS_AS(upload.send(kSize, fails), std::runtime_error);
  send(3);
  receive();
  receive();
  CHECK(upload.pending() == 0);
  std::vector<std::byte> first;
  for (const Bytes& bytes : device.finish()) first.push_back(bytes[0]);
  CHECK(first == std::vector{std::byte(1), std::byte(2), std::byte(3)});
}
