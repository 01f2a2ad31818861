// Scripts by which shells complete a command line, one function for each shell.
#pragma once

#include <span>
#include <string>

#include "tools/option_tree.h"

namespace oche::tools {

// Of the program, commands[0], and its sub-commands, the others. The scripts stand alone: they do
// not run the program.
std::string bash_completion(std::span<const CommandEntry> commands);
std::string zsh_completion(std::span<const CommandEntry> commands);
std::string fish_completion(std::span<const CommandEntry> commands);

}  // namespace oche::tools
