// Messages of the house's exceptions.
#include "engine/error.h"

#include <fmt/format.h>

namespace oche {

IoError::IoError(std::string_view action, const std::filesystem::path& path, int error_number)
    : std::system_error(error_number,
                        std::generic_category(),
                        fmt::format("cannot {} {}", action, quote(path.native(), 4096))) {}

OutOfMemory::OutOfMemory(std::string_view op,
                         int64_t bytes_asked,
                         int64_t bytes_held,
                         std::string_view option)
    : std::runtime_error(
          fmt::format("{}: out of memory: {} bytes asked while {} are held; lower {}",
                      op,
                      bytes_asked,
                      bytes_held,
                      option)) {}

NonFinite::NonFinite(std::string_view where, std::string_view what)
    : std::runtime_error(
          fmt::format("non-finite value in {}{}{}; lower the learning rate or clip the gradients",
                      what,
                      where.empty() ? "" : " at ",
                      where)) {}

std::string quote(std::string_view text, size_t max_bytes) {
  return fmt::format("'{}'", one_line(text, max_bytes));
}

std::string one_line(std::string_view text, size_t max_bytes) {
  size_t end = text.size();
  if (end > max_bytes) {
    end = max_bytes;
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    while (end > 0 && continues(text[end])) --end;  // do not cut a UTF-8 sequence in two
  }
  std::string out;
  for (const char c : text.substr(0, end)) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7F) {
      out += fmt::format("\\x{:02x}", code);
    } else {
      out += c;
    }
  }
  return out + (end < text.size() ? "..." : "");
}

}  // namespace oche
