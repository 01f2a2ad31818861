// Describes a safetensors file: what it says of itself, and the range of each array.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "engine/error.h"
#include "engine/shape.h"
#include "tools/inspect.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

double half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double value =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  if (exponent == 31) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  }
  return bits >> 15 ? -value : value;
}

double brain(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Of the finite elements.
struct Range {
  double min = std::numeric_limits<double>::infinity(), max = -min;
  double squares = 0;
  int64_t finite = 0, not_finite = 0;

  void add(double value) {
    if (!std::isfinite(value)) {
      ++not_finite;
      return;
    }
    min = std::min(min, value);
    max = std::max(max, value);
    squares += value * value;
    ++finite;
  }
};

template <typename T, typename Convert>
Range range_of(std::span<const std::byte> bytes, const Convert& convert) {
  Range range;
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T element;
    std::memcpy(&element, bytes.data() + i, sizeof(T));
    range.add(convert(element));
  }
  return range;
}

// nullopt for what is not floating.
std::optional<Range> range_of(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  const std::span<const std::byte> bytes = file.bytes(entry);
  const auto same = [](double value) { return value; };
  switch (entry.dtype) {
    case FileDtype::kF64:
      return range_of<double>(bytes, same);
    case FileDtype::kF32:
      return range_of<float>(bytes, same);
    case FileDtype::kF16:
      return range_of<uint16_t>(bytes, half);
    case FileDtype::kBF16:
      return range_of<uint16_t>(bytes, brain);
    default:
      return std::nullopt;
  }
}

// What our writers left in a file must be whole; files of others may have no checksum.
bool check(const SafetensorsFile& file) {
  const auto kind = file.metadata().find("kind");
  const bool ours = kind != file.metadata().end() && kind->second.starts_with("oche-");
  if (!ours && !file.metadata().contains("sha256")) return false;
  verify_checksum(file);
  return true;
}

// True iff the text fits on a line of the summary.
bool is_short(const std::string& text) {
  return text.size() <= 80 && text.find('\n') == text.npos;
}

Json to_json(const SafetensorsFile& file, bool checked) {
  Json document = {{"schema", 1},
                   {"kind", "arrays"},
                   {"checksum", checked ? "ok" : "none"},
                   {"metadata", file.metadata()},
                   {"arrays", Json::array()}};
  for (const SafetensorsEntry& entry : file.entries()) {
    Json array = {
        {"name", entry.name}, {"dtype", oche::name_of(entry.dtype)}, {"shape", entry.shape}};
    if (const std::optional<Range> range = range_of(file, entry)) {
      if (range->finite > 0) {
        array["min"] = range->min;
        array["max"] = range->max;
      }
      array["norm"] = std::sqrt(range->squares);
      array["not_finite"] = range->not_finite;
    }
    document["arrays"].push_back(array);
  }
  return document;
}

void print_text(const SafetensorsFile& file, bool checked) {
  fmt::print("file      {}\n", file.source());
  fmt::print("size      {} bytes, {} arrays\n", file.contents().size(), file.entries().size());
  fmt::print("checksum  {}\n", checked ? "ok" : "none");
  for (const auto& [key, value] : file.metadata()) {
    fmt::print(
        "  {:<16} {}\n", key, is_short(value) ? value : fmt::format("({} bytes)", value.size()));
  }
  size_t width = 4;
  for (const SafetensorsEntry& entry : file.entries()) width = std::max(width, entry.name.size());
  fmt::print("\n{:<{}}  {:<5} {:<20} {:>12} {:>12} {:>12}\n",
             "name",
             width,
             "dtype",
             "shape",
             "min",
             "max",
             "norm");
  for (const SafetensorsEntry& entry : file.entries()) {
    fmt::print("{:<{}}  {:<5} {:<20}",
               entry.name,
               width,
               oche::name_of(entry.dtype),
               to_string(entry.shape));
    if (const std::optional<Range> r = range_of(file, entry); r && r->finite > 0) {
      fmt::print(" {:>12.5g} {:>12.5g} {:>12.5g}", r->min, r->max, std::sqrt(r->squares));
      if (r->not_finite > 0) fmt::print("  {} not finite", r->not_finite);
    }
    fmt::print("\n");
  }
}

}  // namespace

void inspect_arrays(const SafetensorsFile& file, bool as_json) {
  const bool checked = check(file);
  if (as_json) {
    print_json(to_json(file, checked));
  } else {
    print_text(file, checked);
  }
}

}  // namespace oche::tools
