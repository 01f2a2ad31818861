// Text in an HTML page, or in an SVG within one.
#pragma once

#include <string>
#include <string_view>

namespace oche::nas::report {

// The text as content of an element or of a quoted attribute: what HTML reads as markup becomes an
// entity, and control characters, which a page may not have, U+FFFD.
std::string escape(std::string_view text);

// A page up to where its content begins, with the style sheet within. `title` is text,
// `introduction` HTML. It ends with kPageEnd.
std::string page_start(std::string_view title, std::string_view introduction);
inline constexpr std::string_view kPageEnd = "</main>\n</body>\n</html>\n";

}  // namespace oche::nas::report
