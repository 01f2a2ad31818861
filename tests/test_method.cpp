// The presets: the numbers of the papers and of their code, each written down a second time.
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "nas/method.h"
#include "nas/search_config.h"
#include "tests/support/catch.h"

using namespace oche;
using namespace oche::nas;

namespace {

// What a method changes of the defaults, as text.
using Changes = std::map<std::string, std::string>;

template <typename T>
std::string text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else {
    return fmt::format("{}", value);
  }
}

Changes changes(std::string_view method) {
  const SearchConfig plain;
  SearchConfig c;
  find_method(method).apply(c);
  Changes found;
  const auto look = [&](const char* name, auto member) {
    if (c.*member != plain.*member) found[name] = text(c.*member);
  };
  using C = SearchConfig;
  look("space", &C::space);
  look("layers", &C::layers);
  look("channels", &C::channels);
  look("epochs", &C::epochs);
  look("batch", &C::batch);
  look("order", &C::order);
  look("alpha_from", &C::alpha_from);
  look("stage_layers", &C::stage_layers);
  look("stage_candidates", &C::stage_candidates);
  look("stage_skip_dropout", &C::stage_skip_dropout);
  look("lr", &C::lr);
  look("lr_min", &C::lr_min);
  look("momentum", &C::momentum);
  look("weight_decay", &C::weight_decay);
  look("grad_clip", &C::grad_clip);
  look("nesterov", &C::nesterov);
  look("alpha_lr", &C::alpha_lr);
  look("alpha_beta1", &C::alpha_beta1);
  look("alpha_beta2", &C::alpha_beta2);
  look("alpha_weight_decay", &C::alpha_weight_decay);
  look("alpha_grad_clip", &C::alpha_grad_clip);
  look("alpha_init", &C::alpha_init);
  look("relaxation", &C::relaxation);
  look("temperature", &C::temperature);
  look("temperature_end", &C::temperature_end);
  look("perturb", &C::perturb);
  look("perturb_radius", &C::perturb_radius);
  look("perturb_radius_end", &C::perturb_radius_end);
  look("channel_share", &C::channel_share);
  look("edge_weights", &C::edge_weights);
  look("skip_dropout", &C::skip_dropout);
  look("op_dropout", &C::op_dropout);
  look("drop_path", &C::drop_path);
  look("skip_dropout_curve", &C::skip_dropout_curve);
  look("drop_path_curve", &C::drop_path_curve);
  look("gradient", &C::gradient);
  look("radius", &C::radius);
  look("regulariser", &C::regulariser);
  look("regulariser_weight", &C::regulariser_weight);
  look("decision", &C::decision);
  look("threshold", &C::threshold);
  look("skips", &C::skips);
  look("stop", &C::stop);
  return found;
}

}  // namespace

TEST_CASE("methods: the defaults are those of DARTS") {
  const SearchConfig c;  // arXiv:1806.09055, sec. 3.1.1 and appendix A.1
  CHECK(c.layers == 8);
  CHECK(c.channels == 16);
  CHECK(c.epochs == 50);
  CHECK(c.batch == 64);
  CHECK(c.lr == 0.025);
  CHECK(c.lr_min == 0.001);
  CHECK(c.momentum == 0.9);
  CHECK(c.weight_decay == 3e-4);
  CHECK(c.grad_clip == 5);
  CHECK(c.alpha_lr == 3e-4);
  CHECK(c.alpha_beta1 == 0.5);
  CHECK(c.alpha_beta2 == 0.999);
  CHECK(c.alpha_weight_decay == 1e-3);
  CHECK(c.alpha_init == 1e-3);
  CHECK(c.radius == 0.01);
  CHECK(c.train_fraction == 0.5);
  // RobustDARTS' code, and the radii of SmoothDARTS.
  CHECK(c.stop_every == 2);
  CHECK(c.stop_window == 5);
  CHECK(c.stop_lag == 4);
  CHECK(c.stop_factor == 1.3);
  CHECK(c.stop_first == 10);
  CHECK(c.perturb_radius == 0.03);
  CHECK(c.perturb_radius_end == 0.3);
}

TEST_CASE("methods: what each changes of them") {
  const std::string first = "first-order";
  const std::map<std::string, Changes> expected = {
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
        {"temperature", text(1 - 0.97 / 150)},
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
