// Writes to stderr.
#include "tools/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace oche::tools {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

size_t terminal_width() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col : 80;
}

}  // namespace

void Console::set_color(ColorMode mode) {
  color_ = mode;
}

bool Console::has_live_line() const {
  return isatty(STDERR_FILENO) && variable("TERM") != "dumb";
}

void Console::error(std::string_view message) {
  clear_live_line();
  fmt::print(stderr, "{} {}\n", paint(Style::kRed, "oche:"), message);
}

void Console::note(std::string_view line) {
  if (verbosity_ == Verbosity::kQuiet) return;
  clear_live_line();
  fmt::print(stderr, "{}\n", line);
}

void Console::detail(std::string_view line) {
  if (verbosity_ == Verbosity::kVerbose) note(line);
}

void Console::live(std::string_view line) {
  if (verbosity_ == Verbosity::kQuiet) return;
  fmt::print(stderr, "\r{}\033[K", line.substr(0, terminal_width() - 1));
  std::fflush(stderr);
  live_ = true;
}

std::string Console::paint(Style style, std::string_view text) const {
  const bool on = color_ == ColorMode::kAlways ||
                  (color_ == ColorMode::kAuto && has_live_line() && variable("NO_COLOR").empty());
  constexpr std::string_view kCodes[] = {"1", "2", "31"};
  return on ? fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<int>(style)], text)
            : std::string(text);
}

void Console::clear_live_line() {
  if (!live_) return;
  fmt::print(stderr, "\r\033[K");
  live_ = false;
}

}  // namespace oche::tools
