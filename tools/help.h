// The look of --help.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace oche::tools {

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app,
                        std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
};

}  // namespace oche::tools
