// Names of rows, read and written.
#include "benchmarks/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

#include "engine/error.h"
#include "tools/suggest.h"

namespace oche::bench {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 28;

// The parts of "a/b:1/c:2" between the slashes.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t slash; (slash = text.find('/')) != text.npos; text.remove_prefix(slash + 1)) {
    parts.push_back(text.substr(0, slash));
  }
  parts.push_back(text);
  return parts;
}

const Family& find_family(std::string_view name, std::span<const Family> families) {
  const auto found = std::ranges::find(families, name, &Family::name);
  if (found != families.end()) return *found;
  std::vector<std::string> known;
  for (const Family& f : families) known.push_back(f.name);
  throw std::invalid_argument(fmt::format(
      "row {} is not known{}; --list names them", quote(name), tools::did_you_mean(name, known)));
}

const Parameter& find_parameter(const Family& family, std::string_view name) {
  const auto found = std::ranges::find(family.parameters, name, &Parameter::name);
  if (found != family.parameters.end()) return *found;
  std::vector<std::string> known;
  for (const Parameter& p : family.parameters) known.emplace_back(p.name);
  throw std::invalid_argument(fmt::format("{}: no parameter {}{}; it has {}",
                                          family.name,
                                          quote(name),
                                          tools::did_you_mean(name, known),
                                          Arguments(family.parameters).text().substr(1)));
}

int64_t parse_value(const Family& family, const Parameter& p, std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < p.least ||
      value > kMaxElements) {
    throw std::invalid_argument(fmt::format("{}: {}:{} is not allowed; expected {} to {}",
                                            family.name,
                                            p.name,
                                            quote(text),
                                            p.least,
                                            kMaxElements));
  }
  return value;
}

}  // namespace

Arguments::Arguments(std::span<const Parameter> defaults) {
  for (const Parameter& p : defaults) items_.emplace_back(p.name, p.value);
}

int64_t Arguments::operator[](std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (key == name) return value;
  }
  throw std::logic_error(fmt::format("a row has no parameter {}", name));
}

bool Arguments::has(std::string_view name) const {
  return std::ranges::any_of(items_, [&](const auto& item) { return item.first == name; });
}

void Arguments::set(std::string_view name, int64_t value) {
  for (auto& [key, old] : items_) {
    if (key == name) {
      old = value;
      return;
    }
  }
  throw std::logic_error(fmt::format("a row has no parameter {}", name));
}

std::string Arguments::text() const {
  std::string text;
  for (const auto& [key, value] : items_) text += fmt::format("/{}:{}", key, value);
  return text;
}

std::string Row::short_name() const {
  std::string text = family->name;
  for (const Parameter& p : family->parameters) {
    if (const int64_t value = arguments[p.name]; value != p.value) {
      text += fmt::format(" {}:{}", p.name, value);
    }
  }
  return text;
}

Row parse_row(std::string_view text, std::span<const Family> families) {
  const std::vector<std::string_view> parts = parts_of(text);
  // A family's name may have slashes, but no colon.
  const auto first = std::ranges::find_if(
      parts, [](std::string_view part) { return part.find(':') != part.npos; });
  size_t length = first == parts.end() ? text.size() : first->data() - text.data();
  if (first != parts.end() && length > 0) --length;  // the slash
  const Family& family = find_family(text.substr(0, length), families);

  Row row{&family, Arguments(family.parameters)};
  std::vector<std::string_view> given;
  for (auto part = first; part != parts.end(); ++part) {
    const size_t colon = std::min(part->find(':'), part->size());
    const Parameter& p = find_parameter(family, part->substr(0, colon));
    if (std::ranges::find(given, p.name) != given.end()) {
      throw std::invalid_argument(
          fmt::format("{}: {} is given twice in {}", family.name, p.name, quote(text)));
    }
    given.push_back(p.name);
    row.arguments.set(p.name,
                      parse_value(family, p, part->substr(std::min(colon + 1, part->size()))));
  }
  return row;
}

std::vector<Row> default_rows(std::span<const Family> families) {
  std::vector<Row> rows;
  for (const Family& family : families) {
    for (const Instance& instance : family.instances) {
      Row row{&family, Arguments(family.parameters)};
      for (const auto& [name, value] : instance) row.arguments.set(name, value);
      rows.push_back(row);
    }
  }
  return rows;
}

int64_t volume(std::initializer_list<int64_t> extents) {
  int64_t product = 1;
  for (const int64_t extent : extents) {
    if (extent > 0 && product > kMaxElements / extent) {
      throw std::invalid_argument(fmt::format(
          "a row may have at most {} elements in a tensor; lower its parameters", kMaxElements));
    }
    product *= extent;
  }
  return product;
}

}  // namespace oche::bench
