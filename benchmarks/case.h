// One thing to measure: how to run it, how to check it, and the least it has to move and compute.
#pragma once

#include <functional>
#include <string>

namespace oche::bench {

struct Check {
  double error = 0, tolerance = 0;
  std::string against;                                // what the result was held against
  bool passed() const { return error <= tolerance; }  // a NaN has not
};

// How a row is put on a CUDA device, to be timed there.
enum class Launches {
  kRecorded,   // as a graph, in which launches cost next to nothing
  kOwnGraphs,  // records and replays by itself
  kOneByOne,   // reads back what the device has written, which a graph cannot
};

struct Case {
  std::function<void()> run;
  // Looks at what the first run() has left.
  std::function<Check()> check;
  // Least traffic with memory: each input read once, each output written once; what is updated in
  // place counts twice.
  double bytes = 0;
  // A multiply-add counts two, any other arithmetic operation, comparison, exponential or logarithm
  // one.
  double flops = 0;
  // run() for a graph: leaves nothing of what it allocates. Without one, run() does.
  std::function<void()> repeat = {};
  Launches launches = Launches::kRecorded;
  // As many of the same, each with data of its own, may be made to run one after another.
  int64_t most_copies = 64;
};

}  // namespace oche::bench
