// JSON on stdout.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace oche::tools {

using Json = nlohmann::ordered_json;

// Bytes that are no UTF-8, as a path may have, are replaced.
inline void print_json(const Json& document) {
  fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace oche::tools
