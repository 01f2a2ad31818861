// Published methods as presets: a method is a row, and every entry of it can be replaced.
#pragma once

#include <span>
#include <string_view>

#include "nas/search_config.h"

namespace oche::nas {

struct Method {
  std::string_view name, title, source;
  void (*apply)(SearchConfig&);   // sets what the method fixes, on top of the defaults
  std::string_view differs = {};  // from the paper or its code, where it does
};

std::span<const Method> methods();
// Throws std::invalid_argument naming the known ones.
const Method& find_method(std::string_view name);

}  // namespace oche::nas
