// The table of methods.
#include "nas/method.h"

#include "nas/named_parts.h"

namespace oche::nas {
namespace {

// In the order of docs/methods.md.
constexpr Method kMethods[] = {
    {"darts",
     "DARTS, second order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "finite-difference"; }},
    {"darts-1st",
     "DARTS, first order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "first-order"; }},
    {"darts-one-level",
     "DARTS, alphas and weights on one loss",
     "arXiv:1806.09055, sec. 3.3",
     [](SearchConfig& c) { c.gradient = "one-level"; },
     "the paper does not name the optimiser of the alphas here; it is Adam as elsewhere"},
    {"gdas",
     "GDAS, one drawn candidate on each edge",
     "arXiv:1910.04465",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.relaxation = "gumbel-hard";
       c.temperature = 10;
       c.temperature_end = 0.1;
       c.decision = "top2-pairs";
       c.order = "weights-first";
       c.layers = 6;
       c.epochs = 250;
       c.batch = 256;
       c.nesterov = true;
       c.weight_decay = 5e-4;
     },
     "pools keep their normalisation, weights alone are clipped, candidates that were not drawn "
     "decay; the last "
     "epoch's genotype, not the best one by accuracy"},
    {"snas",
     "SNAS, one relaxed sample of the cells, with a cost",
     "arXiv:1812.09926",
     [](SearchConfig& c) {
       c.gradient = "one-level";
       c.relaxation = "gumbel-soft";
       c.temperature = 1 - 0.97 / 150;
       c.temperature_end = 0.03;
       c.drop_path = 0.3;
       c.regulariser = "resource";
       c.regulariser_weight = 1.5e-3;
       c.decision = "all-edges";
       c.epochs = 150;
       c.alpha_init = 0.01;
       c.alpha_grad_clip = 10;
     },
     "Adam for the alphas, as in the paper; the code takes plain SGD on one device. They start "
     "around "
     "0, not 1, which only their decay can tell apart"},
    {"fair-darts",
     "Fair DARTS, independent gates",
     "arXiv:1911.12126",
     [](SearchConfig& c) {
       c.space = "darts-cnn-no-none";
       c.gradient = "first-order";
       c.relaxation = "sigmoid";
       c.regulariser = "zero-one";
       c.regulariser_weight = 10;
       c.decision = "threshold";
       c.threshold = 0.85;
       c.batch = 128;
       c.lr = 0.005;
       c.alpha_lr = 3e-3;
       c.alpha_beta1 = 0.9;
       c.alpha_init = 0;
     }},
    {"pc-darts",
     "PC-DARTS, partial channels and weights of edges",
     "arXiv:1907.05737",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.channel_share = 4;
       c.edge_weights = "softmax";
       c.batch = 256;
       c.lr = 0.1;
       c.lr_min = 0;
       c.alpha_lr = 6e-4;
       c.alpha_from = 15;
     }},
    {"p-darts",
     "P-DARTS, three stages of deeper networks and fewer candidates",
     "arXiv:1904.12760",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.decision = "progressive";
       c.stage_layers = "5,11,17";
       c.stage_candidates = "8,5,3";
       c.stage_skip_dropout = "0.1,0.4,0.7";
       c.skip_dropout_curve = "p-darts";
       c.epochs = 75;
       c.batch = 96;
       c.alpha_from = 10;
       c.lr_min = 0;
       c.alpha_lr = 6e-4;
       c.alpha_grad_clip = 5;
     },
     "skip dropout of the first stage as in the code's instructions; weights and alphas of a stage "
     "are "
     "drawn from the same seed as those before"},
    {"darts-plus",
     "DARTS+, ends with the second skip connection",
     "arXiv:1909.06035",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.stop = "skip-count";
     },
     "which genotype is returned is our reading; everything else is that of DARTS"},
    {"robust-darts",
     "RobustDARTS, ends when the alphas' curvature rises",
     "arXiv:1909.09656",
     [](SearchConfig& c) {
       c.gradient = "finite-difference";
       c.stop = "alpha-eigenvalue";
     },
     "early stopping alone (DARTS-ES): one run decides"},
    {"smooth-darts-rs",
     "SmoothDARTS, random smoothing",
     "arXiv:2002.05283",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.space = "darts-cnn-no-none";
       c.perturb = "random";
     }},
    {"smooth-darts-adv",
     "SmoothDARTS, adversarial",
     "arXiv:2002.05283",
     [](SearchConfig& c) {
       c.gradient = "first-order";
       c.space = "darts-cnn-no-none";
       c.perturb = "adversarial";
     }},
};

}  // namespace

std::span<const Method> methods() {
  return kMethods;
}

const Method& find_method(std::string_view name) {
  return find_named("method", name, kMethods);
}

}  // namespace oche::nas
