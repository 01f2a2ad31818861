// stderr for people: errors, notes, a live line, colour. stdout belongs to results.
#pragma once

#include <string>
#include <string_view>

namespace oche::tools {

enum class ColorMode { kAuto, kAlways, kNever };
enum class Verbosity { kQuiet, kNormal, kVerbose };

enum class Style { kBold, kDim, kRed };

class Console {
 public:
  void set_color(ColorMode mode);
  void set_verbosity(Verbosity verbosity) { verbosity_ = verbosity; }

  // True iff a line can be rewritten: stderr is a terminal, and not a dumb one.
  bool has_live_line() const;

  // What cannot be written, since nobody reads it any more, is dropped.
  void error(std::string_view message);  // "oche: message", also when quiet
  void note(std::string_view line);      // unless quiet
  void detail(std::string_view line);    // with -v
  void live(std::string_view line);      // replaces the live line; what does not fit is cut off

  // `text` in this style where colour is on.
  std::string paint(Style style, std::string_view text) const;

 private:
  void clear_live_line();
  void write(std::string_view text);

  Verbosity verbosity_ = Verbosity::kNormal;
  ColorMode color_ = ColorMode::kAuto;
  bool live_ = false;    // true iff the cursor stands behind a live line
  bool unread_ = false;  // true iff a write failed
};

}  // namespace oche::tools
