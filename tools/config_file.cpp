// Reads TOML into assignments.
#include "tools/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/file.h"
#include "tools/exit_code.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;

class Reader {
 public:
  explicit Reader(std::string source) : source_(std::move(source)) {}

  std::vector<Assignment> read(const std::string& text) {
    try {
      walk(toml::parse(text, source_), "");
    } catch (const toml::parse_error& e) {
      throw UsageError(fmt::format("{}: {}", place(e.source()), one_line(e.description())));
    }
    return std::move(found_);
  }

 private:
  void walk(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      if (const toml::table* section = node.as_table(); section && is_section(name)) {
        walk(*section, name + '.');
      } else if (const Setting* setting = find_setting(name)) {
        found_.push_back(
            {setting, value(*setting, node), fmt::format("{}: {}", place(node.source()), name)});
      } else {
        throw UsageError(fmt::format("{}: unknown key {}{}",
                                     place(key.source()),
                                     quote(name),
                                     did_you_mean(name, setting_keys())));
      }
    }
  }

  static bool is_section(std::string_view name) {
    return std::ranges::find(settings(), name, &Setting::section) != settings().end();
  }

  std::string value(const Setting& setting, const toml::node& node) const {
    return std::visit([&](auto member) { return text_of(member, setting, node); }, setting.member);
  }

  template <typename T>
  std::string text_of(T SearchConfig::*, const Setting& setting, const toml::node& node) const {
    if constexpr (std::is_same_v<T, bool>) {
      if (const auto v = node.as_boolean()) return fmt::format("{}", v->get());
      reject(setting, node, "true or false");
    } else if constexpr (std::is_integral_v<T>) {
      if (const auto v = node.as_integer()) return fmt::format("{}", v->get());
      reject(setting, node, "a whole number");
    } else if constexpr (std::is_floating_point_v<T>) {
      if (const auto v = node.as_integer()) return fmt::format("{}", v->get());
      if (const auto v = node.as_floating_point()) return fmt::format("{}", v->get());
      reject(setting, node, "a number");
    } else {
      if (const auto v = node.as_string()) return v->get();
      reject(setting, node, "a text in quotes");
    }
  }

  [[noreturn]] void reject(const Setting& setting,
                           const toml::node& node,
                           std::string_view expected) const {
    throw UsageError(
        fmt::format("{}: {}: expected {}", place(node.source()), setting.key, expected));
  }

  std::string place(const toml::source_region& region) const {
    return fmt::format("{}:{}:{}", source_, region.begin.line, region.begin.column);
  }

  std::string source_;
  std::vector<Assignment> found_;
};

}  // namespace

std::vector<Assignment> parse_config(const std::string& toml, const std::string& source) {
  return Reader(source).read(toml);
}

std::vector<Assignment> read_config_file(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_file(path, kMaxBytes);
  } catch (const std::exception& e) {  // missing, unreadable or far too long
    throw UsageError(fmt::format("--config: {}", e.what()));
  }
  return parse_config(text, path.native());
}

}  // namespace oche::tools
