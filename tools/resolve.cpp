// From what was asked for to a configuration.
#include <fmt/format.h>

#include <algorithm>

#include "engine/error.h"
#include "nas/method.h"
#include "nas/relaxation.h"
#include "nas/space.h"
#include "tools/data_sets.h"
#include "tools/exit_code.h"
#include "tools/settings.h"

namespace oche::tools {
namespace {

void take_sizes(const nas::SpaceSizes& sizes, SearchConfig& config) {
  for (const auto& [size, member] : {std::pair{sizes.steps, &SearchConfig::steps},
                                     {sizes.multiplier, &SearchConfig::multiplier},
                                     {sizes.stem_multiplier, &SearchConfig::stem_multiplier},
                                     {sizes.layers, &SearchConfig::layers}}) {
    if (size > 0) config.*member = size;
  }
}

// Settings that others decide about.
struct Overruled {
  std::string_view key;
  bool (*has_no_effect)(const SearchConfig& config);
  std::string_view because;
  std::string_view by = {};  // if that was asked for as well, whoever asks knows what counts
};
bool has_no_temperature(const SearchConfig& c) {
  return !nas::make_relaxation(c.relaxation)->has_temperature();
}
constexpr Overruled kOverruled[] = {
    {"network.layers",
     [](const SearchConfig& c) { return !c.stage_layers.empty(); },
     "stages.layers decides",
     "stages.layers"},
    {"edge.skip-dropout",
     [](const SearchConfig& c) { return !c.stage_skip_dropout.empty(); },
     "stages.skip-dropout decides",
     "stages.skip-dropout"},
    {"data.train-fraction",
     [](const SearchConfig& c) { return nas::one_level(c); },
     "all images train weights and alphas"},
    {"relaxation.temperature", has_no_temperature, "the relaxation has no temperature"},
    {"relaxation.temperature-end", has_no_temperature, "the relaxation has no temperature"},
    {"regulariser.weight",
     [](const SearchConfig& c) { return c.regulariser == "none"; },
     "there is no regulariser"},
};

// What was asked for must do something, where it differs from what would be there anyway.
void require_effect(std::span<const Assignment> assignments,
                    const SearchConfig& preset,
                    const SearchConfig& config) {
  for (const Assignment& a : assignments) {
    const auto rule = std::ranges::find(kOverruled, a.setting->key, &Overruled::key);
    if (rule == std::end(kOverruled) || !rule->has_no_effect(config)) continue;
    const std::string without = value_text(preset, *a.setting);
    const bool both = std::ranges::any_of(
        assignments, [&](const Assignment& other) { return other.setting->key == rule->by; });
    if (!both && value_text(config, *a.setting) != without)
      throw UsageError(fmt::format("{}: {} is not allowed; expected {}, as {}",
                                   a.where,
                                   quote(a.value),
                                   without,
                                   rule->because));
  }
}

}  // namespace

SearchConfig resolve(std::span<const Assignment> assignments) {
  SearchConfig config;
  const Setting *method = find_setting("method"), *data_set = find_setting("data.set"),
                *space = find_setting("network.space");
  for (const Assignment& a : assignments) {
    if (a.setting == method || a.setting == data_set) assign(a, config);
  }
  config.flip = find_data_set(config.dataset).flip;
  nas::find_method(config.method).apply(config);
  for (const Assignment& a : assignments) {
    if (a.setting == space) assign(a, config);
  }
  take_sizes(nas::sizes_of(config.space), config);
  const SearchConfig preset = config;
  bool node_count = false, output_nodes = false;
  for (const Assignment& a : assignments) {
    assign(a, config);
    node_count |= a.setting->key == "network.steps";
    output_nodes |= a.setting->key == "network.multiplier";
  }
  // A cell of another size still puts out all its nodes (DARTS sec. 2.1).
  const bool is_free = nas::sizes_of(config.space).multiplier == 0;
  if (node_count && !output_nodes && is_free) config.multiplier = config.steps;
  nas::validate(config);
  require_effect(assignments, preset, config);
  return config;
}

}  // namespace oche::tools
