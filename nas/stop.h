// When a search is over before its last epoch, and with which genotype.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "nas/genotype.h"
#include "nas/space.h"

namespace oche::nas {

// What a stop may look at when an epoch has ended.
struct EpochView {
  int64_t epoch, epochs;  // from 0, and how many are planned
  const Genotype& genotype;
  const Space& space;
  // The relaxation's scores; none for a type of cell that is not searched.
  const EdgeRows &normal, &reduce;
  // Measures the largest eigenvalue of the Hessian of the search loss with respect to the alphas.
  std::function<double()> eigenvalue;
};

struct Ending {
  int64_t epoch;  // from 0: the genotype is what was derived after it
  Genotype genotype;
  std::string reason;
};

class Stop {
 public:
  virtual ~Stop() = default;
  virtual std::string_view name() const = 0;
  // Called once for each epoch, in order; with a value the search is over.
  virtual std::optional<Ending> after_epoch(const EpochView&) { return std::nullopt; }
  // What it remembers, for checkpoints. restore() throws FormatError for anything else.
  virtual nlohmann::json state() const;
  virtual void restore(const nlohmann::json& state);
  // True iff it asks for eigenvalues.
  virtual bool measures() const { return false; }
  // The first epoch, from 0, after which it may end a search whose alphas rest before `alpha_from`.
  virtual int64_t earliest(int64_t alpha_from) const { return alpha_from; }
};

struct StopOptions {
  int64_t skips = 2;      // skip-count
  int64_t patience = 10;  // rank-stable: epochs
  // alpha-eigenvalue: epochs between measurements, measurements in a mean, measurements that the
  // means compared lie apart, the ratio that ends the search, the first epoch that may be returned
  int64_t every = 2, window = 5, lag = 4;
  double factor = 1.3;
  int64_t first = 10;
};

//   epochs            after the last one
//   skip-count        where the normal cell has options.skips skip connections or more; with its
//                     genotype if it has as many, else with that of the epoch before (DARTS+,
//                     arXiv:1909.06035, criterion 1; which genotype is our reading)
//   rank-stable       where for options.patience epochs in a row the order of the sep_conv and
//                     dil_conv candidates has changed on no edge (DARTS+, criterion 2)
//   alpha-eigenvalue  where the mean of the last options.window largest eigenvalues exceeds that of
//                     options.lag measurements before, if that is positive, by options.factor; with
//                     the genotype of every * (window / 2 + lag) epochs before, of options.first at
//                     the earliest. The last epoch is measured and ends as every search does
//                     (DARTS-ES of RobustDARTS, arXiv:1909.09656, as in its code)
// Throws std::invalid_argument for another name, naming them, and for options out of range.
std::unique_ptr<Stop> make_stop(std::string_view name, const StopOptions& options = {});
std::span<const std::string_view> stop_names();
// What rank-stable ranks on an edge.
bool is_ranked(std::string_view candidate);

// Of an ending, for checkpoints; read_ending throws FormatError.
nlohmann::json to_json(const Ending& ending);
Ending read_ending(const nlohmann::json& object, const std::string& source);

}  // namespace oche::nas
