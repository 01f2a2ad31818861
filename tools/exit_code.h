// How the process ends, and the exceptions that only the command line throws.
#pragma once

#include <stdexcept>

namespace oche::tools {

enum ExitCode {
  kDone = 0,
  kInternalError = 1,
  kUsage = 2,   // or configuration
  kData = 3,    // missing or malformed
  kDevice = 4,  // or out of memory
  kNotFinite = 5,
  kCorruptFile = 6,  // checkpoint, model, genotype
  kCheckFailed = 7,
  kSignal = 128  // plus the signal's number
};

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace oche::tools
