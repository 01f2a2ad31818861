// What the fuzz targets share.
#include "tests/fuzz/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace oche::fuzz {
namespace {

constexpr size_t kMaxMessage = 2000;

}  // namespace

void require(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "violated: {}\n", what);
  std::abort();
}

void check_message(std::string_view message) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (message.empty() || message.size() > kMaxMessage || std::ranges::any_of(message, is_control)) {
    fmt::print(stderr, "the message:\n{}\n", message);
    require(false, "a message is one line of readable length");
  }
}

}  // namespace oche::fuzz
