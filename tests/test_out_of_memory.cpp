// Allocation failure at every allocation of a search step: the step says what it lacked, leaves the
// state as it was, keeps nothing, and the next one goes on as if nothing had happened.
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/runtime.h"
#include "engine/storage.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

// Linked with --wrap: every call of Storage::allocate comes to `counted_allocate`.
std::shared_ptr<Storage> real_allocate(int64_t bytes,
                                       Device) asm("__real__ZN4oche7Storage8allocateElNS_6DeviceE");
std::shared_ptr<Storage> counted_allocate(int64_t bytes, Device) asm(
    "__wrap__ZN4oche7Storage8allocateElNS_6DeviceE");

namespace {

int64_t allocations = 0, failing = -1;

class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t bytes) : previous_(memory_limit()) { set_memory_limit(bytes); }
  ~MemoryLimit() { set_memory_limit(previous_); }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  int64_t previous_;
};

}  // namespace

std::shared_ptr<Storage> counted_allocate(int64_t bytes, Device device) {
  if (allocations++ != failing) return real_allocate(bytes, device);
  const MemoryLimit none(0);
  return real_allocate(bytes, device);
}

namespace {

SearchConfig one_cell(const std::string& gradient) {
  SearchConfig c;
  c.layers = c.channels = c.steps = c.multiplier = c.stem_multiplier = 1;
  c.batch = 1;
  c.gradient = gradient;
  return c;
}

}  // namespace

TEST_CASE(
    "a step that lacks memory at any allocation changes nothing, leaks nothing, and can be "
    "repeated") {
  set_num_threads(1);  // so little work is not worth sharing
  const auto [gradient, order] =
      GENERATE(table<std::string, std::string>({{"first-order", "alpha-first"},
                                                {"first-order", "weights-first"},
                                                {"finite-difference", "alpha-first"},
                                                {"exact-unrolled", "alpha-first"},
                                                {"one-level", "alpha-first"}}));
  CAPTURE(gradient, order);
  SearchConfig config = one_cell(gradient);
  config.order = order;
  const Batch train = random_batch(1, 4, 1), validation = random_batch(1, 4, 2);
  const auto step = [&](SearchState& state) {
    allocations = 0;
    state.step(train, validation, 0.025, 3);
  };

  SearchState undisturbed(config, 3, 10), state(config, 3, 10);
  step(undisturbed);
  const int64_t in_a_step = allocations;
  REQUIRE(in_a_step > 100);

  const auto before = snapshot(state);
  const int64_t live = memory_stats().live;
  for (failing = 0; failing < in_a_step; ++failing) {
    const std::string message = message_of<OutOfMemory>([&] { step(state); });
    CAPTURE(failing, message);
    REQUIRE(contains(message, ": out of memory: "));
    REQUIRE(contains(message, " bytes asked while "));
    REQUIRE(contains(message, "; lower --batch"));
    REQUIRE(memory_stats().live == live);
    REQUIRE(snapshot(state) == before);
  }
  failing = -1;
  step(state);
  CHECK(allocations == in_a_step);
  CHECK(snapshot(state) == snapshot(undisturbed));
}
