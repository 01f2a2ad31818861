// "Did you mean": the known names that lie close to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace oche::tools {

// "; did you mean A or B?", best first, or "" where nothing is close.
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

}  // namespace oche::tools
