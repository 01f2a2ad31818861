// The house's own exceptions; each message is one line: what, where, what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace oche {

// A malformed file or text. For a checkpoint or model file the command line exits with 6, for a
// config with 2.
class FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A data set that is missing or malformed (exit 3).
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A failed system call: "cannot <action> '<path>': <errno text>". code() keeps the errno.
class IoError : public std::system_error {
 public:
  IoError(std::string_view action, const std::filesystem::path& path, int error_number);
};

// An allocation that failed (exit 4). option is what the user can lower, such as "--batch-size".
class OutOfMemory : public std::runtime_error {
 public:
  OutOfMemory(std::string_view op,
              int64_t bytes_asked,
              int64_t bytes_held,
              std::string_view option);
};

// A device that is not there, or failed (exit 4).
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A NaN or infinity (exit 5). `where` is the part of the work it arose in ("step 3, cell 2, edge
// 5"; may be empty), `what` the op or parameter.
class NonFinite : public std::runtime_error {
 public:
  NonFinite(std::string_view where, std::string_view what);
};

// The text between single quotes, fit for a one-line message whatever a file put into it: control
// characters are escaped and what exceeds max_bytes is replaced by "...".
std::string quote(std::string_view text, size_t max_bytes = 100);
// The same without the quotes, for sentences that libraries wrote.
std::string one_line(std::string_view text, size_t max_bytes = 300);

}  // namespace oche
