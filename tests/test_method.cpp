// The presets: the numbers of the papers and of their code, each written down a second time.
#include <fmt/format.h>

#include <map>
#include <string>
#include <variant>

#include "nas/method.h"
#include "nas/search_config.h"
#include "tests/support/catch.h"

using namespace oche;
using namespace oche::nas;

namespace {

using C = SearchConfig;
const std::map<std::string, std::variant<int64_t C::*, double C::*, bool C::*, std::string C::*>>
    kNumbers = {
        {"space", &C::space},
        {"layers", &C::layers},
        {"channels", &C::channels},
        {"epochs", &C::epochs},
        {"batch", &C::batch},
        {"order", &C::order},
        {"alpha_from", &C::alpha_from},
        {"stage_layers", &C::stage_layers},
        {"stage_candidates", &C::stage_candidates},
        {"stage_skip_dropout", &C::stage_skip_dropout},
        {"lr", &C::lr},
        {"lr_min", &C::lr_min},
        {"momentum", &C::momentum},
        {"weight_decay", &C::weight_decay},
        {"grad_clip", &C::grad_clip},
        {"nesterov", &C::nesterov},
        {"alpha_lr", &C::alpha_lr},
        {"alpha_beta1", &C::alpha_beta1},
        {"alpha_beta2", &C::alpha_beta2},
        {"alpha_weight_decay", &C::alpha_weight_decay},
        {"alpha_grad_clip", &C::alpha_grad_clip},
        {"alpha_init", &C::alpha_init},
        {"relaxation", &C::relaxation},
        {"temperature", &C::temperature},
        {"temperature_end", &C::temperature_end},
        {"perturb", &C::perturb},
        {"perturb_radius", &C::perturb_radius},
        {"perturb_radius_end", &C::perturb_radius_end},
        {"channel_share", &C::channel_share},
        {"edge_weights", &C::edge_weights},
        {"skip_dropout", &C::skip_dropout},
        {"op_dropout", &C::op_dropout},
        {"drop_path", &C::drop_path},
        {"skip_dropout_curve", &C::skip_dropout_curve},
        {"drop_path_curve", &C::drop_path_curve},
        {"gradient", &C::gradient},
        {"radius", &C::radius},
        {"regulariser", &C::regulariser},
        {"regulariser_weight", &C::regulariser_weight},
        {"decision", &C::decision},
        {"threshold", &C::threshold},
        {"skips", &C::skips},
        {"stop", &C::stop},
        {"stop_every", &C::stop_every},
        {"stop_window", &C::stop_window},
        {"stop_lag", &C::stop_lag},
        {"stop_factor", &C::stop_factor},
        {"stop_first", &C::stop_first},
        {"train_fraction", &C::train_fraction},
};

// All of them, or of some, as text.
using Values = std::map<std::string, std::string>;

Values values(const SearchConfig& c) {
  Values all;
  for (const auto& [name, member] : kNumbers)
    all[name] = std::visit([&](auto m) { return fmt::format("{}", c.*m); }, member);
  return all;
}

// What a method changes of the defaults.
Values changes(std::string_view method) {
  SearchConfig c;
  const Values plain = values(c);
  find_method(method).apply(c);
  Values changed = values(c);
  std::erase_if(changed, [&](const auto& value) { return plain.at(value.first) == value.second; });
  return changed;
}

}  // namespace

TEST_CASE("methods: the defaults are those of DARTS") {
  const Values expected = {// arXiv:1806.09055, sec. 3.1.1 and appendix A.1
                           {"layers", "8"},
                           {"channels", "16"},
                           {"epochs", "50"},
                           {"batch", "64"},
                           {"train_fraction", "0.5"},
                           {"lr", "0.025"},
                           {"lr_min", "0.001"},
                           {"momentum", "0.9"},
                           {"weight_decay", "0.0003"},
                           {"grad_clip", "5"},
                           {"alpha_lr", "0.0003"},
                           {"alpha_beta1", "0.5"},
                           {"alpha_beta2", "0.999"},
                           {"alpha_weight_decay", "0.001"},
                           {"alpha_init", "0.001"},
                           {"radius", "0.01"},
                           // RobustDARTS' code, and the radii of SmoothDARTS
                           {"stop_every", "2"},
                           {"stop_window", "5"},
                           {"stop_lag", "4"},
                           {"stop_factor", "1.3"},
                           {"stop_first", "10"},
                           {"perturb_radius", "0.03"},
                           {"perturb_radius_end", "0.3"}};
  const Values defaults = values({});
  for (const auto& [name, value] : expected) {
    CAPTURE(name);
    CHECK(defaults.at(name) == value);
  }
}

TEST_CASE("methods: what each changes of them") {
  const std::string first = "first-order";
  const std::map<std::string, Values> expected = {
      {"darts", {}},
      {"darts-1st", {{"gradient", first}}},
      {"darts-one-level", {{"gradient", "one-level"}}},
      {"gdas",
       {{"gradient", first},
        {"relaxation", "gumbel-hard"},
        {"temperature", "10"},
        {"temperature_end", "0.1"},
        {"decision", "top2-pairs"},
        {"order", "weights-first"},
        {"layers", "6"},
        {"epochs", "250"},
        {"batch", "256"},
        {"nesterov", "true"},
        {"weight_decay", "0.0005"}}},
      {"snas",
       {{"gradient", "one-level"},
        {"relaxation", "gumbel-soft"},
        {"temperature", fmt::format("{}", 1 - 0.97 / 150)},
        {"temperature_end", "0.03"},
        {"drop_path", "0.3"},
        {"regulariser", "resource"},
        {"regulariser_weight", "0.0015"},
        {"decision", "all-edges"},
        {"epochs", "150"},
        {"alpha_init", "0.01"},
        {"alpha_grad_clip", "10"}}},
      {"fair-darts",
       {{"gradient", first},
        {"space", "darts-cnn-no-none"},
        {"relaxation", "sigmoid"},
        {"regulariser", "zero-one"},
        {"regulariser_weight", "10"},
        {"decision", "threshold"},
        {"batch", "128"},
        {"lr", "0.005"},
        {"alpha_lr", "0.003"},
        {"alpha_beta1", "0.9"},
        {"alpha_init", "0"}}},
      {"pc-darts",
       {{"gradient", first},
        {"channel_share", "4"},
        {"edge_weights", "softmax"},
        {"batch", "256"},
        {"lr", "0.1"},
        {"lr_min", "0"},
        {"alpha_lr", "0.0006"},
        {"alpha_from", "15"}}},
      {"p-darts",
       {{"gradient", first},
        {"decision", "progressive"},
        {"stage_layers", "5,11,17"},
        {"stage_candidates", "8,5,3"},
        {"stage_skip_dropout", "0.1,0.4,0.7"},
        {"skip_dropout_curve", "p-darts"},
        {"epochs", "75"},
        {"batch", "96"},
        {"alpha_from", "10"},
        {"lr_min", "0"},
        {"alpha_lr", "0.0006"},
        {"alpha_grad_clip", "5"}}},
      {"darts-plus", {{"gradient", first}, {"stop", "skip-count"}}},
      {"robust-darts", {{"stop", "alpha-eigenvalue"}}},
      {"smooth-darts-rs",
       {{"gradient", first}, {"space", "darts-cnn-no-none"}, {"perturb", "random"}}},
      {"smooth-darts-adv",
       {{"gradient", first}, {"space", "darts-cnn-no-none"}, {"perturb", "adversarial"}}}};
  CHECK(methods().size() == expected.size());
  for (const Method& m : methods()) {
    CAPTURE(m.name);
    CHECK(changes(m.name) == expected.at(std::string(m.name)));
  }
}
