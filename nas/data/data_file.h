// What the readers of data files share: errors that name the byte, and contents of an exact size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace oche::nas {

// Throws DataError: "'<source>': <what> at byte <offset>".
[[noreturn]] void fail_at_byte(std::string_view source, std::string_view what, int64_t offset);

// Throws DataError naming the byte where the contents end or become too long, unless there are
// exactly `expected` bytes. `layout` says what they are made of: "10000 records of 3073".
void require_size(std::string_view source,
                  int64_t bytes,
                  int64_t expected,
                  std::string_view layout);

// The contents of a file of exactly `expected` bytes, whose size is checked before it is read.
std::string read_data_file(const std::filesystem::path& file,
                           int64_t expected,
                           std::string_view layout);

// The contents of a file, at most max_bytes. Throws DataError when there are more, or it cannot be
// read.
std::string read_data_file(const std::filesystem::path& file, int64_t max_bytes);

}  // namespace oche::nas
