// Rows: what can be measured, by names like softmax_forward/outer:64/n:10/inner:1. A family is a
// name with whole-number parameters; a row gives each of them a value.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/case.h"
#include "engine/types.h"

namespace oche::bench {

struct Parameter {
  std::string_view name;
  int64_t value;      // unless a row says otherwise
  int64_t least = 1;  // the smallest that is allowed
};

// The values of a row, in the order of the family's parameters.
class Arguments {
 public:
  Arguments() = default;
  explicit Arguments(std::span<const Parameter> defaults);

  int64_t operator[](std::string_view name) const;  // which must be a parameter
  bool has(std::string_view name) const;
  void set(std::string_view name, int64_t value);
  std::string text() const;  // "/n:64/h:32"
  const std::vector<std::pair<std::string_view, int64_t>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string_view, int64_t>> items_;
};

using Instance = std::vector<std::pair<std::string_view, int64_t>>;  // where it departs

struct Family {
  std::string name;
  std::string group;    // rows of one group share a colour
  std::string summary;  // one line
  std::vector<Parameter> parameters;
  std::vector<Instance> instances;  // the rows that are measured when none is asked for
  // Throws std::invalid_argument for values that make no sense together.
  std::function<Case(const Arguments&, DType)> make;
  // The parameter to lower where checking a whole row would take too long; empty: none.
  std::string_view batch = {};
  bool f32_only = false;
};

struct Row {
  const Family* family;
  Arguments arguments;
  std::string name() const { return family->name + arguments.text(); }
  std::string short_name() const;  // the family, and what differs from its defaults
};

// The row that `text` names: a family, and values for some or all parameters. Throws
// std::invalid_argument with what was probably meant.
Row parse_row(std::string_view text, std::span<const Family> families);

// Every instance of every family, in order.
std::vector<Row> default_rows(std::span<const Family> families);

// The product of extents. Throws std::invalid_argument above 2^28 elements.
int64_t volume(std::initializer_list<int64_t> extents);

}  // namespace oche::bench
