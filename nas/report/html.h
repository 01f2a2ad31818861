// Text in an HTML page, or in an SVG within one.
#pragma once

#include <string>
#include <string_view>

namespace oche::nas::report {

// The text as content of an element or of a quoted attribute: what HTML reads as markup becomes an
// entity, and control characters, which a page may not have, U+FFFD.
std::string escape(std::string_view text);

}  // namespace oche::nas::report
