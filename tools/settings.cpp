// The table of settings, and what follows from it.
#include "tools/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "engine/error.h"
#include "nas/arch_gradient.h"
#include "nas/decision.h"
#include "nas/method.h"
#include "nas/perturbation.h"
#include "nas/regulariser.h"
#include "nas/relaxation.h"
#include "nas/space.h"
#include "nas/stop.h"
#include "tools/data_sets.h"
#include "tools/exit_code.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const nas::Method& m : nas::methods()) names.emplace_back(m.name);
  return names;
}

// The choices that a table of parts has.
template <std::span<const std::string_view> (*kNames)()>
std::vector<std::string> part_names() {
  const auto names = kNames();
  return {names.begin(), names.end()};
}

std::vector<std::string> dtype_names() {
  return {std::string(to_string(DType::kFloat32)), std::string(to_string(DType::kFloat64))};
}

std::vector<std::string> order_names() {
  return {"alpha-first", "weights-first"};
}

std::vector<std::string> curve_names() {
  return {"constant", "p-darts"};
}

std::vector<std::string> drop_path_curve_names() {
  return {"constant", "linear"};
}

std::vector<std::string> edge_weight_names() {
  return {"none", "softmax"};
}

std::vector<std::string> precision_names() {
  return {std::begin(kPrecisionNames), std::end(kPrecisionNames)};
}

using C = SearchConfig;

// Sections stay together, keys outside of sections come first: the order of config.toml and --help.
// clang-format off
const Setting kSettings[] = {
    {"method", "method", "search method, a preset of the settings below", &C::method, method_names},
    {"seed", "seed", "of everything random, 0 to 2^63 - 1", &C::seed},
    {"dtype", "dtype", "element type of the computation", &C::dtype, dtype_names},
    {"precision", "precision", "of f32 cells: what factors of products are rounded to, and bf16 keeps in half the memory", &C::precision, precision_names},

    {"data.set", "dataset", "which images", &C::dataset, data_set_names},
    {"data.dir", "data", "directory with downloaded data sets; the folder, or the file of arrays", &C::data_dir},
    {"data.train-size", "train-size", "training images used in all, evenly by class; 0: all", &C::train_size},
    {"data.train-fraction", "train-fraction", "share of them that trains the weights; the rest trains the alphas", &C::train_fraction},
    {"data.augment", "augment", "random crop, and flip where --flip holds", &C::augment},
    {"data.flip", "flip", "a mirrored image is still one of its class", &C::flip},
    {"data.cutout", "cutout", "side of the erased square, pixels; 0: none", &C::cutout},

    {"network.space", "space", "what stands on the edges of a cell", &C::space, part_names<nas::space_names>},
    {"network.layers", "layers", "cells in a row", &C::layers},
    {"network.channels", "channels", "channels of the first cell", &C::channels},
    {"network.steps", "steps", "intermediate nodes of a cell", &C::steps},
    {"network.multiplier", "multiplier", "nodes that make a cell's output", &C::multiplier},
    {"network.stem-multiplier", "stem-multiplier", "channels of the stem, times --channels", &C::stem_multiplier},
    {"network.fuse", "fuse", "run the edges of a cell as one op, which saves time and memory", &C::fuse},

    {"schedule.epochs", "epochs", "epochs of search, of all stages", &C::epochs},
    {"schedule.batch", "batch", "images in a batch", &C::batch},
    {"schedule.order", "", "which half of a step comes first", &C::order, order_names},
    {"schedule.alpha-from", "", "epochs that the alphas rest at first, in each stage", &C::alpha_from},

    {"stages.layers", "", "cells in a row, stage by stage, as 5,11,17; empty: no stages", &C::stage_layers},
    {"stages.candidates", "", "candidates of an edge, as 8,5,3: the best of the stage before", &C::stage_candidates},
    {"stages.skip-dropout", "", "edge.skip-dropout of each, as 0.1,0.4,0.7", &C::stage_skip_dropout},

    {"weights.lr", "lr", "SGD's rate at the start of the cosine", &C::lr},
    {"weights.lr-min", "lr-min", "rate at its end", &C::lr_min},
    {"weights.momentum", "momentum", "SGD's momentum", &C::momentum},
    {"weights.nesterov", "nesterov", "Nesterov's form of it", &C::nesterov},
    {"weights.decay", "weight-decay", "L2 penalty on weights", &C::weight_decay},
    {"weights.grad-clip", "grad-clip", "largest norm of the gradient; 0: no clipping", &C::grad_clip},

    {"alphas.lr", "alpha-lr", "Adam's rate", &C::alpha_lr},
    {"alphas.beta1", "alpha-beta1", "decay of Adam's first moment", &C::alpha_beta1},
    {"alphas.beta2", "alpha-beta2", "decay of Adam's second moment", &C::alpha_beta2},
    {"alphas.decay", "alpha-weight-decay", "L2 penalty on alphas", &C::alpha_weight_decay},
    {"alphas.grad-clip", "alpha-grad-clip", "largest norm of their gradient; 0: none", &C::alpha_grad_clip},
    {"alphas.init", "alpha-init", "standard deviation of the first alphas", &C::alpha_init},

    {"relaxation.name", "relaxation", "how alphas become weights of candidates", &C::relaxation, part_names<nas::relaxation_names>},
    {"relaxation.temperature", "temperature", "of Gumbel relaxations in the first epoch", &C::temperature},
    {"relaxation.temperature-end", "", "in the last one; evenly in between", &C::temperature_end},
    {"relaxation.perturb", "perturb", "what is done to these weights where they train the network's", &C::perturb, part_names<nas::perturbation_names>},
    {"relaxation.radius", "", "how far at most, in the first epoch", &C::perturb_radius},
    {"relaxation.radius-end", "", "where that goes, evenly, in as many steps as there are epochs", &C::perturb_radius_end},

    {"edge.channels", "", "of this many channels one passes the candidates, the others pass by; 1: all", &C::channel_share},
    {"edge.weights", "", "whether edges have weights of their own, which sum to 1 at a node", &C::edge_weights, edge_weight_names},
    {"edge.skip-dropout", "", "probability that an element behind a skip connection of stride 1 is dropped", &C::skip_dropout},
    {"edge.skip-dropout-curve", "", "constant, or falling in each stage as in P-DARTS", &C::skip_dropout_curve, curve_names},
    {"edge.op-dropout", "", "that a candidate's result is, image by image", &C::op_dropout},
    {"edge.drop-path", "", "that an edge's sum is, image by image", &C::drop_path},
    {"edge.drop-path-curve", "", "constant, or linear from 0 in the first epoch", &C::drop_path_curve, drop_path_curve_names},

    {"gradient.name", "gradient", "estimator of the architecture gradient", &C::gradient, part_names<nas::arch_gradient_names>},
    {"gradient.radius", "", "finite-difference: length of the probe, over all weights", &C::radius},

    {"regulariser.name", "regulariser", "what the loss of the alphas has besides", &C::regulariser, part_names<nas::regulariser_names>},
    {"regulariser.weight", "", "its weight", &C::regulariser_weight},

    {"decision.name", "decision", "how alphas become a genotype", &C::decision, part_names<nas::decision_names>},
    {"decision.threshold", "", "threshold: the least score that stays", &C::threshold},
    {"decision.skips", "", "progressive: the most skip connections of a normal cell", &C::skips},

    {"stop.name", "stop", "when the search is over", &C::stop, part_names<nas::stop_names>},
    {"stop.skips", "", "skip-count: skip connections of the normal cell that end it", &C::stop_skips},
    {"stop.patience", "", "rank-stable: epochs without a change", &C::stop_patience},
    {"stop.every", "", "alpha-eigenvalue: epochs between measurements", &C::stop_every},
    {"stop.window", "", "measurements in a mean", &C::stop_window},
    {"stop.lag", "", "measurements between the means that are compared", &C::stop_lag},
    {"stop.factor", "", "how much larger the later one is in the end", &C::stop_factor},
    {"stop.first", "", "the first epoch, from 0, whose genotype may be the result", &C::stop_first},
};
// clang-format on

[[noreturn]] void reject(const Assignment& a, const std::string& expected) {
  throw UsageError(
      fmt::format("{}: {} is not allowed; expected {}", a.where, quote(a.value), expected));
}

template <typename T>
T parse_number(const Assignment& a, const std::string& expected) {
  T value{};
  const char* end = a.value.data() + a.value.size();
  const auto [stop, error] = std::from_chars(a.value.data(), end, value);
  if (error != std::errc() || stop != end) reject(a, expected);
  return value;
}

void set(const Assignment& a, SearchConfig& config, int64_t C::*member) {
  config.*member = parse_number<int64_t>(a, "a whole number");
}

// TOML's integers are signed.
void set(const Assignment& a, SearchConfig& config, uint64_t C::*member) {
  config.*member = parse_number<uint64_t>(a, "a whole number, 0 or more");
  if (config.*member > std::numeric_limits<int64_t>::max()) reject(a, "at most 2^63 - 1");
}

void set(const Assignment& a, SearchConfig& config, double C::*member) {
  config.*member = parse_number<double>(a, "a number");
  if (!std::isfinite(config.*member)) reject(a, "a finite number");
}

void set(const Assignment& a, SearchConfig& config, bool C::*member) {
  if (a.value != "true" && a.value != "false") reject(a, "true or false");
  config.*member = a.value == "true";
}

void set(const Assignment& a, SearchConfig& config, std::string C::*member) {
  if (a.setting->choices) {
    const std::vector<std::string> choices = a.setting->choices();
    if (std::ranges::find(choices, a.value) == choices.end()) {
      reject(a,
             fmt::format("one of {}{}", fmt::join(choices, ", "), did_you_mean(a.value, choices)));
    }
  }
  config.*member = a.value;
}

void set(const Assignment& a, SearchConfig& config, DType C::*member) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    if (a.value == to_string(dtype)) {
      config.*member = dtype;
      return;
    }
  }
  reject(a, "f32 or f64");
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_value(const SearchConfig& config, const Setting& setting) {
  const std::string text = value_text(config, setting);
  if (std::holds_alternative<std::string C::*>(setting.member) ||
      std::holds_alternative<DType C::*>(setting.member)) {
    return toml_string(text);
  }
  const bool whole = text.find_first_not_of("-0123456789") == std::string::npos;
  return std::holds_alternative<double C::*>(setting.member) && whole ? text + ".0" : text;
}

}  // namespace

std::string_view Setting::section() const {
  const size_t dot = key.find('.');
  return dot == key.npos ? std::string_view() : key.substr(0, dot);
}

std::string_view Setting::name() const {
  return key.substr(key.find('.') + 1);
}

std::string Setting::variable() const {
  std::string variable = fmt::format("OCHE_{}", flag.empty() ? key : flag);
  for (char& c : variable) {
    if (c == '-' || c == '.') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return variable;
}

std::span<const Setting> settings() {
  return kSettings;
}

const Setting* find_setting(std::string_view key) {
  const auto found = std::ranges::find(kSettings, key, &Setting::key);
  return found == std::end(kSettings) ? nullptr : found;
}

std::vector<std::string> setting_keys() {
  std::vector<std::string> keys;
  for (const Setting& s : kSettings) keys.emplace_back(s.key);
  return keys;
}

Assignment parse_assignment(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos) {
    throw UsageError(fmt::format("--set {}: no value; expected KEY=VALUE", quote(text)));
  }
  const std::string_view key = text.substr(0, equals);
  const Setting* setting = find_setting(key);
  if (!setting) setting = find_setting(fmt::format("{}.name", key));  // relaxation=sigmoid
  if (!setting) {
    throw UsageError(
        fmt::format("--set: unknown key {}{}", quote(key), did_you_mean(key, setting_keys())));
  }
  return {setting, std::string(text.substr(equals + 1)), fmt::format("--set {}", key)};
}

std::vector<Assignment> read_environment() {
  std::vector<Assignment> found;
  for (const Setting& s : kSettings) {
    const std::string variable = s.variable();
    const char* value = std::getenv(variable.c_str());
    if (value && *value) found.push_back({&s, value, variable});
  }
  return found;
}

void assign(const Assignment& a, SearchConfig& config) {
  std::visit([&](auto member) { set(a, config, member); }, a.setting->member);
}

std::string value_text(const SearchConfig& config, const Setting& setting) {
  return std::visit(
      [&](auto member) {
        if constexpr (std::is_same_v<decltype(member), DType C::*>) {
          return std::string(to_string(config.*member));
        } else {
          return fmt::format("{}", config.*member);
        }
      },
      setting.member);
}

std::string to_toml(const SearchConfig& config, std::string_view without) {
  std::string toml;
  std::string_view section;
  for (const Setting& s : kSettings) {
    if (!without.empty() && s.section() == without) continue;
    if (s.section() != section) toml += fmt::format("\n[{}]\n", section = s.section());
    toml += fmt::format("{} = {}\n", s.name(), toml_value(config, s));
  }
  return toml;
}

}  // namespace oche::tools
