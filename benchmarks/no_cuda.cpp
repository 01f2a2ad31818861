// A build without the CUDA back end: no row is ever put on a device.
#include <stdexcept>

#include "benchmarks/device_memory.h"
#include "benchmarks/device_timing.h"
#include "engine/device.h"

namespace oche::bench {
namespace {

[[noreturn]] void fail() {
  throw std::logic_error(why_no_cuda());
}

}  // namespace

std::shared_ptr<void> on_default_device(const void*, size_t) {
  fail();
}
DeviceTimes time_on_device(const std::string&,
                           const Case&,
                           const std::function<Case()>&,
                           const MeasureOptions&) {
  fail();
}
double CopyTimes::seconds(double) {
  fail();
}
Case copy_case(int64_t, bool) {
  fail();
}
Roofs measure_device_roofs(const MeasureOptions&) {
  fail();
}
nlohmann::ordered_json device_conditions() {
  fail();
}

}  // namespace oche::bench
