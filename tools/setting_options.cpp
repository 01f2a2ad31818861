// Makes options out of the table of settings.
#include "tools/setting_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/error.h"
#include "tools/config_file.h"
#include "tools/exit_code.h"

namespace oche::tools {
namespace {

std::string heading(const Setting& setting) {
  const std::string_view section = setting.section();
  if (section.empty()) return "Search";
  if (section == "weights") return "Weights (SGD, cosine rate by epoch)";
  if (section == "alphas") return "Alphas (Adam)";
  if (section == "gradient") return "Architecture gradient";
  std::string title(section);
  title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

std::string placeholder(const Setting& setting) {
  if (setting.is_switch()) return "";
  if (setting.choices) return "NAME";
  if (std::holds_alternative<std::string SearchConfig::*>(setting.member)) return "PATH";
  return std::holds_alternative<double SearchConfig::*>(setting.member) ? "X" : "N";
}

std::string description(const Setting& setting) {
  std::string text(setting.help);
  if (setting.choices) {
    for (const char* before = ": "; const std::string& choice : setting.choices()) {
      text += std::exchange(before, ", ") + choice;
    }
  }
  std::string value = value_text({}, setting);
  if (setting.key == "gradient.name") value = "by method";
  if (setting.key == "data.flip") value = "by data set";
  if (setting.key == "network.multiplier") value = "all";
  return fmt::format("{} [{}]  ({})", text, value, setting.key);
}

// Settings that only files, the environment and --set reach.
std::string without_flag() {
  std::string text;
  for (const Setting& s : settings()) {
    if (s.flag.empty()) text += fmt::format(". {}: {} [{}]", s.key, s.help, value_text({}, s));
  }
  return text;
}

}  // namespace

SettingOptions::SettingOptions(CLI::App& command) {
  flags_.reserve(settings().size());  // options keep references to what they fill
  for (const Setting& s : settings()) {
    if (s.flag.empty()) continue;
    std::string& value = flags_.emplace_back(&s, "").second;
    const std::string name = fmt::format("--{}", s.flag);
    CLI::Option* option = s.is_switch()
                              ? command.add_flag(fmt::format("{},!--no-{}", name, s.flag), value)
                              : command.add_option(name, value);
    option->description(description(s))->option_text(placeholder(s))->group(heading(s));
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (s.choices) option->type_name(fmt::format("{{{}}}", fmt::join(s.choices(), ",")));
    options_.push_back(option);
  }
  const std::string group = "Sources of settings";
  command
      .add_option("--config", config_file_, "TOML file; its keys are those in parentheses above")
      ->option_text("FILE")
      ->group(group);
  command.add_option("--set", set_, "one setting by its key; may be repeated" + without_flag())
      ->option_text("KEY=VALUE")
      ->type_name(fmt::format("{{{}=}}", fmt::join(setting_keys(), "=,")))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

std::vector<Assignment> SettingOptions::assignments() const {
  std::vector<Assignment> assignments;
  const auto add = [&](std::vector<Assignment> more) {
    assignments.insert(assignments.end(), more.begin(), more.end());
  };
  if (!config_file_.empty()) add(read_config_file(config_file_));
  add(read_environment());
  for (const std::string& text : set_) add({parse_assignment(text)});
  for (size_t i = 0; i < flags_.size(); ++i) {
    const auto& [setting, value] = flags_[i];
    if (options_[i]->count() > 0) {
      assignments.push_back({setting, value, fmt::format("--{}", setting->flag)});
    }
  }
  return assignments;
}

SearchConfig SettingOptions::resolve() const {
  return tools::resolve(assignments());
}

SearchConfig SettingOptions::resolve_again(const SearchConfig& run) const {
  SearchConfig config = run;
  const std::vector<Assignment> asked = assignments();
  for (const Assignment& a : asked) assign(a, config);
  for (auto a = asked.rbegin(); a != asked.rend(); ++a) {
    const std::string kept = value_text(run, *a->setting);
    if (value_text(config, *a->setting) != kept && a->setting->key != "data.dir") {
      throw UsageError(
          fmt::format("{}: {} would change the run, which has {}; leave it out, or start another",
                      a->where,
                      quote(a->value),
                      quote(kept)));
    }
  }
  return config;
}

}  // namespace oche::tools
