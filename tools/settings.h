// The settings of a search: one table says what each is called in files, on the command line and in
// the environment, and everything that reads, writes or explains settings follows it.
//
// Precedence: defaults (--flip by data set) < the method's preset < config file < environment <
// --set < flags.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nas/search_config.h"

namespace oche::tools {

using nas::SearchConfig;

struct Setting {
  std::string_view key;   // in configuration files and --set: "schedule.epochs"
  std::string_view flag;  // "epochs" for --epochs; empty: has none
  std::string_view help;  // with the unit
  std::variant<int64_t SearchConfig::*,
               uint64_t SearchConfig::*,
               double SearchConfig::*,
               bool SearchConfig::*,
               std::string SearchConfig::*,
               DType SearchConfig::*>
      member;
  std::vector<std::string> (*choices)() = nullptr;  // of a text; none: any text will do

  std::string_view section() const;  // "schedule"; empty for keys outside of sections
  std::string_view name() const;     // "epochs"
  std::string variable() const;      // "OCHE_EPOCHS"
  bool is_switch() const { return std::holds_alternative<bool SearchConfig::*>(member); }
};

std::span<const Setting> settings();
const Setting* find_setting(std::string_view key);
std::vector<std::string> setting_keys();

// A value that was asked for, not yet checked.
struct Assignment {
  const Setting* setting;
  std::string value;
  std::string where;  // what an error blames: "--lr", "OCHE_LR", "search.toml:3:5: weights.lr"
};

// "key=value", as --set takes it. Throws UsageError, as do all that read.
Assignment parse_assignment(std::string_view text);
std::vector<Assignment> read_environment();

// Sets what is asked for, of the right type and among the choices.
void assign(const Assignment& assignment, SearchConfig& config);

// The valid configuration that the assignments make, lowest precedence first. The data set and the
// method are resolved before what follows from them is applied, wherever they come from.
SearchConfig resolve(std::span<const Assignment> assignments);

std::string value_text(const SearchConfig& config, const Setting& setting);
// The whole configuration as a file that --config reads.
std::string to_toml(const SearchConfig& config, std::string_view without = {});

}  // namespace oche::tools
