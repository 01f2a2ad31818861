// The commands and options of the command line as data: what --help and the completions of shells
// are made of.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace oche::tools {

struct OptionEntry {
  std::vector<std::string> names;  // "-v", "--verbose"; of a positional argument its name: "PATH"
  std::string placeholder;         // of its value: "FILE"; empty for a flag
  std::string description, group;
  bool positional, required;
  int values;    // at most; 0: a flag
  bool repeats;  // true iff each further use adds to the former ones

  // What its values may be, as far as that is known. A choice that ends in '=' goes on.
  std::vector<std::string> choices;
  enum class Paths { kNone, kDirectories, kAll };
  Paths paths;
};

struct CommandEntry {
  std::string name, purpose;
  std::vector<OptionEntry> options;  // those that are hidden left out
};

// Choices are read off the braces in the name of an option's type, where CLI11 puts those of
// IsMember; DIR in the placeholder or the type tells a directory, FILE and PATH any path.
CommandEntry describe(const CLI::App& command);

// A command itself, then its sub-commands.
std::vector<CommandEntry> describe_all(const CLI::App& app);

}  // namespace oche::tools
