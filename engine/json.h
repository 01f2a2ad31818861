// JSON from untrusted text: nlohmann's parser behind limits that it does not have itself.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace oche {

inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;
inline constexpr int kMaxJsonDepth = 64;  // arrays and objects open at once

// The document in text, which must be all of it. Refuses duplicate keys, deeper nesting than
// kMaxJsonDepth, more than max_bytes, invalid UTF-8 and anything after the document: throws
// FormatError naming source, line and column (in bytes).
nlohmann::json parse_json(std::string_view text,
                          const std::string& source,
                          size_t max_bytes = kMaxJsonBytes);

}  // namespace oche
