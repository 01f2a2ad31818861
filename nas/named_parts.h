// Tables of parts by name: rows with a member `name`, and what their users say of them.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>
#include <string_view>

namespace oche::nas {

template <typename Row, size_t kCount>
constexpr std::array<std::string_view, kCount> names_of(const Row (&rows)[kCount]) {
  std::array<std::string_view, kCount> names;
  for (size_t i = 0; i < kCount; ++i) names[i] = rows[i].name;
  return names;
}

// Throws std::invalid_argument naming all for a name that no row has; `kind` is what they are.
template <typename Row, size_t kCount>
const Row& find_named(std::string_view kind, std::string_view name, const Row (&rows)[kCount]) {
  for (const Row& row : rows) {
    if (row.name == name) return row;
  }
  throw std::invalid_argument(fmt::format(
      "{} '{}' is not known; expected one of {}", kind, name, fmt::join(names_of(rows), ", ")));
}

}  // namespace oche::nas
