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

 private:
  std::string config_file_;
  std::vector<std::string> set_;
  std::vector<std::pair<const Setting*, std::string>> flags_;  // in table order
  std::vector<const CLI::Option*> options_;                    // of flags_
};

}  // namespace oche::tools
