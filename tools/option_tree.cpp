// Reads the tree that CLI11 keeps.
#include "tools/option_tree.h"

#include <CLI/CLI.hpp>
#include <string_view>

namespace oche::tools {
namespace {

// "TEXT:{a,b}" has the choices a and b.
std::vector<std::string> choices_in(std::string_view type) {
  std::vector<std::string> choices;
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == type.npos || end == type.npos) return choices;
  std::string_view list = type.substr(begin + 1, end - begin - 1);
  while (!list.empty()) {
    const size_t comma = list.find(',');
    choices.emplace_back(list.substr(0, comma));
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return choices;
}

OptionEntry::Paths paths_in(std::string_view type) {
  if (type.find("FILE") != type.npos || type.find("PATH") != type.npos) {
    return OptionEntry::Paths::kAll;
  }
  return type.find("DIR") == type.npos ? OptionEntry::Paths::kNone
                                       : OptionEntry::Paths::kDirectories;
}

OptionEntry describe(const CLI::Option& option) {
  const bool positional = option.get_positional();
  std::vector<std::string> names;
  if (positional) names.push_back(option.get_name());
  for (const std::string& name : option.get_snames()) names.push_back('-' + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  const std::string type = option.get_option_text() + ' ' + option.get_type_name();
  const bool flag = option.get_items_expected_max() == 0;
  return {.names = std::move(names),
          .placeholder = option.get_option_text(),
          .description = option.get_description(),
          .group = option.get_group(),
          .positional = positional,
          .required = option.get_required(),
          .values = option.get_items_expected_max(),
          .repeats = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll,
          .choices = flag ? std::vector<std::string>() : choices_in(type),
          .paths = flag ? OptionEntry::Paths::kNone : paths_in(type)};
}

}  // namespace

CommandEntry describe(const CLI::App& command) {
  CommandEntry entry{command.get_name(), command.get_description(), {}};
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_group().empty()) entry.options.push_back(describe(*option));
  }
  return entry;
}

std::vector<CommandEntry> describe_all(const CLI::App& app) {
  std::vector<CommandEntry> entries = {describe(app)};
  for (const CLI::App* command : app.get_subcommands({})) entries.push_back(describe(*command));
  return entries;
}

}  // namespace oche::tools
