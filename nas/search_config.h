// Everything that decides the course of a search. The defaults are those of DARTS on CIFAR-10
// (sec. 3.1.1, appendix A.1); what a user may set is listed once, in the settings table of the
// command line.
#pragma once

#include <cstdint>
#include <string>

#include "engine/mixed_cell.h"
#include "engine/types.h"
#include "nas/stop.h"

namespace oche::nas {

struct SearchConfig {
  std::string method = "darts";

  // Data.
  std::string dataset = "patterns";
  std::string data_dir = "data";
  int64_t train_size = 0;  // images used in all; 0: the whole training set
  double train_fraction =
      0.5;              // of these, the share that trains the weights; the rest is the search half
  bool augment = true;  // random crop, and flip if that is allowed:
  bool flip = true;     // a mirrored image is still one of its class
  int64_t cutout = 0;   // side of the erased square, pixels; 0: none

  // Network, and what its cells choose from.
  std::string space = "darts-cnn";
  int64_t layers = 8, channels = 16, steps = 4, multiplier = 4, stem_multiplier = 3;
  bool fuse = true;  // run the edges of a cell as one op

  // Schedule.
  int64_t epochs = 50, batch = 64;
  std::string order = "alpha-first";  // of the halves of a step, or "weights-first"
  int64_t alpha_from = 0;             // epochs that the alphas rest
  uint64_t seed = 0;

  // Stages of the same number of epochs, as lists of numbers with commas, see stages.h.
  std::string stage_layers = "", stage_candidates = "", stage_skip_dropout = "";

  // Weights: SGD, cosine rate by epoch, clipping of the global norm (0: none).
  double lr = 0.025, lr_min = 0.001, momentum = 0.9, weight_decay = 3e-4, grad_clip = 5;
  bool nesterov = false;

  // Alphas: Adam, constant rate.
  double alpha_lr = 3e-4, alpha_beta1 = 0.5, alpha_beta2 = 0.999, alpha_weight_decay = 1e-3;
  double alpha_grad_clip = 0;  // of one norm over all of them; 0: none
  double alpha_init = 1e-3;    // standard deviation

  // From alphas to weights of candidates; the temperature goes evenly from first to last epoch.
  std::string relaxation = "softmax";
  double temperature = 1, temperature_end = 1;
  // What is done to these weights in the weight half, and how far: evenly from the first value in
  // epoch 0 towards the second, which is never reached.
  std::string perturb = "none";
  double perturb_radius = 0.03, perturb_radius_end = 0.3;

  // Around the candidates of an edge, see edge.h. The rates hold in every epoch, unless a curve
  // says otherwise.
  int64_t channel_share = 1;  // of K channels one is mixed
  std::string edge_weights = "none";
  double skip_dropout = 0, op_dropout = 0, drop_path = 0;
  std::string skip_dropout_curve = "constant";  // or "p-darts", see stages.h
  std::string drop_path_curve = "constant";     // or "linear", likewise

  // Architecture gradient.
  std::string gradient = "finite-difference";
  double radius = 0.01;
  std::string regulariser = "none";
  double regulariser_weight = 0;

  // From alphas to the genotype; the least score that `threshold` keeps.
  std::string decision = "top2";
  double threshold = 0.85;
  int64_t skips = 2;  // the most skip connections that `progressive` leaves in a normal cell

  // When the search is over, see stop.h.
  std::string stop = "epochs";
  int64_t stop_skips = 2, stop_patience = 10;
  int64_t stop_every = 2, stop_window = 5, stop_lag = 4, stop_first = 10;
  double stop_factor = 1.3;

  DType dtype = DType::kFloat32;
  std::string precision = "fp32";  // of fused f32 cells, see engine/mixed_cell.h
};

// Throws std::invalid_argument naming the option, its value and what is expected.
void validate(const SearchConfig& config);

// True iff alphas and weights follow one loss on all images, from one pass.
bool one_level(const SearchConfig& config);
StopOptions stop_options(const SearchConfig& config);
Precision precision_of(const SearchConfig& config);

}  // namespace oche::nas
