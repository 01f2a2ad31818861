// When a search is over before its last epoch.
#include "nas/stop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "engine/error.h"
#include "nas/named_parts.h"
#include "nas/primitives.h"

namespace oche::nas {
namespace {

using nlohmann::json;

json genotype_json(const Genotype& g) {
  return json::parse(to_json(g));
}

// read(...) with what JSON has to say of it as a FormatError.
template <typename Read>
void read_state(std::string_view name, const Read& read) {
  try {
    read();
  } catch (const json::exception& e) {
    throw FormatError(fmt::format("state of the stop {}: {}", name, e.what()));
  }
}

class Epochs final : public Stop {
 public:
  explicit Epochs(const StopOptions&) {}
  std::string_view name() const override { return "epochs"; }
};

class SkipCount final : public Stop {
 public:
  explicit SkipCount(const StopOptions& o) : skips_(o.skips) {}
  std::string_view name() const override { return "skip-count"; }
  std::optional<Ending> after_epoch(const EpochView& now) override {
    const int64_t skips = count_op(now.genotype.normal, kSkipConnect);
    if (skips < skips_) {
      before_ = now.genotype;
      return std::nullopt;
    }
    const bool takes_before = skips > skips_ && before_;
    return Ending{takes_before ? now.epoch - 1 : now.epoch,
                  takes_before ? *before_ : now.genotype,
                  fmt::format("the normal cell has {} skip connections", skips)};
  }
  json state() const override { return before_ ? genotype_json(*before_) : json(); }
  void restore(const json& state) override {
    before_.reset();
    if (!state.is_null())
      before_ = parse_genotype_json(state.dump(), "state of the stop skip-count");
  }

 private:
  int64_t skips_;
  std::optional<Genotype> before_;
};

class RankStable final : public Stop {
 public:
  explicit RankStable(const StopOptions& o) : patience_(o.patience) {}
  std::string_view name() const override { return "rank-stable"; }
  std::optional<Ending> after_epoch(const EpochView& now) override {
    std::vector<int64_t> order = order_of(now.space.normal, now.normal);
    const std::vector<int64_t> reduce = order_of(now.space.reduce, now.reduce);
    order.insert(order.end(), reduce.begin(), reduce.end());
    unchanged_ = order_ && order == *order_ ? unchanged_ + 1 : 0;
    order_ = std::move(order);
    if (unchanged_ < patience_) return std::nullopt;
    return Ending{
        now.epoch,
        now.genotype,
        fmt::format("the order of the convolutions has not changed for {} epochs", unchanged_)};
  }
  int64_t earliest(int64_t alpha_from) const override { return alpha_from + patience_; }
  json state() const override {
    return {{"order", order_ ? json(*order_) : json()}, {"unchanged", unchanged_}};
  }
  void restore(const json& state) override {
    read_state(name(), [&] {
      order_.reset();
      if (const json& order = state.at("order"); !order.is_null())
        order_ = order.get<std::vector<int64_t>>();
      unchanged_ = state.at("unchanged").get<int64_t>();
    });
  }

 private:
  // Of each edge the columns of the candidates that learn, best first.
  static std::vector<int64_t> order_of(const CellSpace& space, const EdgeRows& scores) {
    std::vector<int64_t> order;
    for (int64_t e = 0; e < space.rows(); ++e) {
      const auto begin = std::ssize(order);
      const std::vector<double>& row = scores[e];
      for (int64_t k = 0; k < space.columns(); ++k) {
        if (is_ranked(space.edges[e].candidates[k])) order.push_back(k);
      }
      std::stable_sort(order.begin() + begin, order.end(), [&](int64_t a, int64_t b) {
        return row[a] > row[b];
      });
    }
    return order;
  }

  int64_t patience_, unchanged_ = 0;
  std::optional<std::vector<int64_t>> order_;  // of the epoch before
};

class AlphaEigenvalue final : public Stop {
 public:
  explicit AlphaEigenvalue(const StopOptions& o) : o_(o) {}
  std::string_view name() const override { return "alpha-eigenvalue"; }
  bool measures() const override { return true; }
  int64_t earliest(int64_t alpha_from) const override {
    return std::max(o_.first, alpha_from) + back();
  }
  std::optional<Ending> after_epoch(const EpochView& now) override {
    genotypes_.push_back(now.genotype);
    if (std::ssize(genotypes_) > back() + 1) genotypes_.erase(genotypes_.begin());
    if (now.epoch % o_.every != 0 && now.epoch != now.epochs - 1) return std::nullopt;
    values_.push_back(now.eigenvalue());
    if (!std::isfinite(values_.back()))
      throw NonFinite("stop alpha-eigenvalue", "the largest eigenvalue");
    if (now.epoch - back() < o_.first || now.epoch == now.epochs - 1) return std::nullopt;
    const auto measured = std::ssize(values_);
    const double mean = mean_after(measured), before = mean_after(measured - o_.lag);
    if (measured - o_.lag < kFewest || !(before > 0 && mean > o_.factor * before))
      return std::nullopt;
    return Ending{
        now.epoch - back(),
        genotypes_.front(),
        fmt::format("the largest eigenvalue of the alphas' Hessian is {:.4g} in the mean, "
                    "more than {} times what it was",
                    mean,
                    o_.factor)};
  }
  json state() const override {
    json genotypes = json::array();
    for (const Genotype& g : genotypes_) genotypes.push_back(genotype_json(g));
    return {{"values", values_}, {"genotypes", genotypes}};
  }
  void restore(const json& state) override {
    read_state(name(), [&] {
      values_ = state.at("values").get<std::vector<double>>();
      genotypes_.clear();
      for (const json& g : state.at("genotypes"))
        genotypes_.push_back(parse_genotype_json(g.dump(), "state of the stop alpha-eigenvalue"));
    });
  }

 private:
  static constexpr int64_t kFewest = 3;  // measurements that make a mean

  int64_t back() const { return o_.every * (o_.window / 2 + o_.lag); }  // epochs
  // Of the last `window` of the first `count` measurements.
  double mean_after(int64_t count) const {
    const int64_t n = std::min(count, o_.window);
    if (n <= 0) return 0;
    const auto end = values_.begin() + count;
    return std::accumulate(end - n, end, 0.0) / static_cast<double>(n);
  }

  StopOptions o_;
  std::vector<double> values_;
  std::vector<Genotype> genotypes_;  // of the last back() + 1 epochs
};

template <typename T>
std::unique_ptr<Stop> make(const StopOptions& options) {
  return std::make_unique<T>(options);
}
struct Row {
  std::string_view name;
  std::unique_ptr<Stop> (*make)(const StopOptions&);
};
constexpr Row kRows[] = {{"epochs", make<Epochs>},
                         {"skip-count", make<SkipCount>},
                         {"rank-stable", make<RankStable>},
                         {"alpha-eigenvalue", make<AlphaEigenvalue>}};
constexpr auto kNames = names_of(kRows);

void require(bool holds, std::string_view option, double value, std::string_view expected) {
  if (holds) return;
  throw std::invalid_argument(
      fmt::format("--set stop.{}: {} is not allowed; expected {}", option, value, expected));
}

}  // namespace

json Stop::state() const {
  return {};
}

void Stop::restore(const json&) {}

std::unique_ptr<Stop> make_stop(std::string_view name, const StopOptions& o) {
  const auto at_least_1 = [](std::string_view option, int64_t value) {
    require(value >= 1, option, static_cast<double>(value), "1 or more");
  };
  at_least_1("skips", o.skips);
  at_least_1("patience", o.patience);
  at_least_1("every", o.every);
  at_least_1("window", o.window);
  at_least_1("lag", o.lag);
  require(o.factor > 0, "factor", o.factor, "a positive number");
  require(o.first >= 0, "first", static_cast<double>(o.first), "0 or more");
  return find_named("stop", name, kRows).make(o);
}

bool is_ranked(std::string_view candidate) {
  return candidate.starts_with("sep_conv") || candidate.starts_with("dil_conv");
}

std::span<const std::string_view> stop_names() {
  return kNames;
}

json to_json(const Ending& e) {
  return {{"epoch", e.epoch}, {"reason", e.reason}, {"genotype", genotype_json(e.genotype)}};
}

Ending read_ending(const json& object, const std::string& source) {
  try {
    return {object.at("epoch").get<int64_t>(),
            parse_genotype_json(object.at("genotype").dump(), source),
            object.at("reason").get<std::string>()};
  } catch (const json::exception& e) {
    throw FormatError(fmt::format("{}: {}", source, e.what()));
  }
}

}  // namespace oche::nas
