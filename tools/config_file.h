// Configuration files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/settings.h"

namespace oche::tools {

// The settings in a TOML text or file. Throws UsageError naming file, line and column for
// what is not TOML, for an unknown key, and for a value of the wrong type.
std::vector<Assignment> parse_config(const std::string& toml, const std::string& source);
std::vector<Assignment> read_config_file(const std::filesystem::path& path);

}  // namespace oche::tools
