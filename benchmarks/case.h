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
};

}  // namespace oche::bench
