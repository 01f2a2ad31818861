// Writes to stderr.
#include "tools/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tools/terminal.h"

namespace oche::tools {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

// `line` cut to that many columns, where it can be behind one of its parts, which two spaces
// separate.
std::string_view fit(std::string_view line, size_t columns) {
  if (line.size() <= columns) return line;
  const size_t end = line.rfind("  ", columns);
  return line.substr(0, end == line.npos || end == 0 ? columns : end);
}

}  // namespace

void Console::set_color(ColorMode mode) {
  color_ = mode;
}

bool Console::has_live_line() const {
  return is_capable_terminal(STDERR_FILENO);
}

void Console::error(std::string_view message) {
  clear_live_line();
  write(fmt::format("{} {}\n", paint(Style::kRed, "oche:"), message));
}

void Console::note(std::string_view line) {
  if (verbosity_ == Verbosity::kQuiet) return;
  clear_live_line();
  write(fmt::format("{}\n", line));
}

void Console::detail(std::string_view line) {
  if (verbosity_ == Verbosity::kVerbose) note(line);
}

// The last column stays free: some terminals wrap as soon as it is filled.
void Console::live(std::string_view line) {
  if (verbosity_ == Verbosity::kQuiet) return;
  const size_t columns = terminal_columns(STDERR_FILENO).value_or(80);
  write(fmt::format("\r{}\033[K", fit(line, columns - 1)));
  live_ = true;
}

std::string Console::paint(Style style, std::string_view text) const {
  const bool on = color_ == ColorMode::kAlways ||
                  (color_ == ColorMode::kAuto && has_live_line() && !is_set("NO_COLOR"));
  constexpr std::string_view kCodes[] = {"1", "2", "31"};
  return on ? fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<int>(style)], text)
            : std::string(text);
}

void Console::clear_live_line() {
  if (!live_) return;
  write("\r\033[K");
  live_ = false;
}

void Console::write(std::string_view text) {
  if (unread_) return;
  unread_ = std::fwrite(text.data(), 1, text.size(), stderr) < text.size();
}

}  // namespace oche::tools
