// Errors and sizes of data files.
#include "nas/data/data_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <system_error>

#include "engine/error.h"
#include "engine/file.h"

namespace oche::nas {

namespace fs = std::filesystem;

void fail_at_byte(std::string_view source, std::string_view what, int64_t offset) {
  throw DataError(fmt::format("{}: {} at byte {}", quote(source, 400), what, offset));
}

void require_size(std::string_view source,
                  int64_t bytes,
                  int64_t expected,
                  std::string_view layout) {
  if (bytes == expected) return;
  const std::string_view fault = bytes < expected ? "ends" : "surplus";
  fail_at_byte(source,
               fmt::format("{} bytes, expected {} ({}): {}", bytes, expected, layout, fault),
               std::min(bytes, expected));
}

std::string read_data_file(const fs::path& file, int64_t expected, std::string_view layout) {
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(file, error));
  if (!error) require_size(file.native(), bytes, expected, layout);
  std::string contents = read_data_file(file, expected);
  require_size(file.native(), std::ssize(contents), expected, layout);
  return contents;
}

std::string read_data_file(const fs::path& file, int64_t max_bytes) {
  try {
    return read_file(file, static_cast<size_t>(max_bytes));
  } catch (const FormatError& e) {
    throw DataError(e.what());
  } catch (const IoError& e) {
    throw DataError(e.what());
  }
}

}  // namespace oche::nas
