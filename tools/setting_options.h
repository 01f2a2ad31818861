// Settings on the command line: their flags, --config and --set.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/settings.h"

namespace oche::tools {

class SettingOptions {
 public:
  explicit SettingOptions(CLI::App& command);
  SettingOptions(const SettingOptions&) = delete;
  SettingOptions& operator=(const SettingOptions&) = delete;

  // The merged configuration, once the arguments are parsed.
  SearchConfig resolve() const;
  // That of a run which is to be continued. Throws UsageError for a source that asks for anything
  // else, but where the images are.
  SearchConfig resolve_again(const SearchConfig& run) const;

 private:
  std::vector<Assignment> assignments() const;  // lowest precedence first

  std::string config_file_;
  std::vector<std::string> set_;
  std::vector<std::pair<const Setting*, std::string>> flags_;  // in table order
  std::vector<const CLI::Option*> options_;                    // of flags_
};

}  // namespace oche::tools
