// Times on a CUDA device: between two events, of many launches that find nothing in the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/case.h"
#include "benchmarks/measure.h"
#include "benchmarks/roofs.h"

namespace oche::bench {

// How rows are timed on the default device, which is a CUDA device. Copies of the row, each with
// data of its own, run one after another: as many as are larger than the level-2 cache together, or
// as the row allows. Before each such round, another buffer twice as large as that cache is read,
// so that a run finds its inputs in memory whatever its size, and nothing in the cache that would
// have to be written back. A round is one launch of a graph where the row can be recorded; events
// on the stream stand before and after it.
struct DeviceTimes {
  std::vector<double> seconds;  // of one run, for each repetition
  int64_t copies = 0;
  std::string launches;  // "graph", "own graphs", or "one by one" with the reason
};
// `first` is one of what `make` makes, and has run.
DeviceTimes time_on_device(const std::string& name,
                           const Case& first,
                           const std::function<Case()>& make,
                           const MeasureOptions& options);

// What the plainest kernel takes to move as many bytes, half of them read and half written, timed
// in the same way: the faster of cudaMemcpyAsync and a kernel of ours. Measured once a size.
class CopyTimes {
 public:
  explicit CopyTimes(const MeasureOptions& options) : options_(options) {}
  double seconds(double bytes);  // the median

 private:
  MeasureOptions options_;
  std::map<int64_t, double> known_;
};
Case copy_case(int64_t bytes, bool by_kernel);

// Of the device: a copy of buffers of eight times its cache, and multiply-adds in registers.
Roofs measure_device_roofs(const MeasureOptions& options);

// What the times depend on besides the device's name; no paths.
nlohmann::ordered_json device_conditions();

}  // namespace oche::bench
