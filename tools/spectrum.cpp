// Measures the spectra of a search held still.
#include "tools/spectrum.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

namespace oche::tools {
namespace {

using nas::Hessian;

// Beyond it the eigenvalues of a matrix take longer than those of a search are worth.
constexpr int64_t kMostRows = 512;

// `make` makes the Hessian of some batches, whose products are exact to `rounding`.
template <typename Kind, typename Make>
Spectrum measure(std::string of,
                 std::string loss,
                 const ParameterSet<Kind>& set,
                 const std::vector<nas::Batch>& batches,
                 double decay,
                 const SpectrumOptions& o,
                 uint64_t seed,
                 double rounding,
                 const Make& make) {
  const auto start = std::chrono::steady_clock::now();
  const Hessian hessian = make(batches);
  const auto product = [decay](const Hessian& h) {
    return [&h, decay](const Vector& v) { return h.product(v, decay); };
  };
  const LanczosOptions lanczos_options{
      .steps = o.steps, .count = o.count, .tolerance = o.tolerance, .seed = seed, .vectors = 1};
  const LanczosResult r = lanczos(product(hessian), hessian.size(), lanczos_options);
  Spectrum s;
  s.of = std::move(of);
  s.loss = std::move(loss);
  s.size = hessian.size();
  s.decay = decay;
  s.asked = std::min(o.count, s.size);
  s.least = r.values.front();
  s.least_residual = r.residuals.front();
  s.allowed = o.tolerance * r.scale();
  s.converged = r.converged;
  s.products = r.products;
  const auto found = std::ssize(r.values);
  for (int64_t i = found - 1; i >= std::max<int64_t>(0, found - o.count); --i) {
    s.values.push_back(r.values[i]);
    s.residuals.push_back(r.residuals[i]);
  }
  for (size_t k = 0; k < batches.size() && batches.size() > 1; ++k) {
    const Hessian one = make({batches[k]});
    LanczosOptions of_one = lanczos_options;
    of_one.count = 1;
    of_one.vectors = 0;
    const LanczosResult of_batch = lanczos(product(one), one.size(), of_one);
    s.each.push_back(of_batch.largest());
    s.each_residuals.push_back(of_batch.residuals.back());
    s.each_converged.push_back(of_batch.converged);
  }
  const DensityOptions density{.probes = o.probes, .steps = o.density_steps, .seed = seed};
  if (o.probes > 0 && s.size <= std::min(kMostRows, o.probes * o.density_steps)) {
    s.all = all_eigenvalues(product(hessian), s.size);
    s.signs = signs_of(s.all, static_cast<double>(s.size) * rounding);
    s.density = spectral_density(s.all, density);
  } else if (o.probes > 0) {
    s.density = spectral_density(product(hessian), s.size, density);
  }
  for (int64_t i = 0; i < o.slice; ++i) {
    const double at =
        o.slice == 1
            ? 0
            : o.slice_radius * (2 * static_cast<double>(i) / static_cast<double>(o.slice - 1) - 1);
    s.slice_at.push_back(at);
    s.slice_loss.push_back(nas::loss_along(hessian, set, r.vectors.back(), at));
  }
  s.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return s;
}

}  // namespace

HessianPoint measure_spectra(FrozenSearch& search,
                             const SpectrumOptions& o,
                             const std::function<void(const std::string&)>& tell) {
  nas::SearchState& state = search.state();
  const nas::SearchConfig& c = search.config();
  HessianPoint point{.source = search.source(),
                     .epoch = search.epoch(),
                     .step = search.step(),
                     .dtype = c.dtype,
                     .batches = o.batches,
                     .batch = o.batch > 0 ? o.batch : c.batch,
                     .spectra = {}};
  const double rounding = c.dtype == DType::kFloat64 ? std::numeric_limits<double>::epsilon()
                                                     : std::numeric_limits<float>::epsilon();
  std::vector<nas::Batch> train, validation;
  for (int64_t k = 0; k < o.batches; ++k) {
    const FrozenSearch::Pair pair = search.pair(k, point.batch);
    train.push_back(pair.train);
    validation.push_back(pair.validation);
  }
  if (o.alpha) {
    tell(fmt::format("epoch {}: alphas", point.epoch));
    point.spectra.push_back(measure("alpha",
                                    "search loss",
                                    state.arch.alphas(),
                                    validation,
                                    o.decay ? c.alpha_weight_decay : 0,
                                    o,
                                    c.seed,
                                    rounding,
                                    [&](const std::vector<nas::Batch>& batches) {
                                      return nas::alpha_hessian(state, batches, search.step());
                                    }));
  }
  if (o.weights) {
    tell(fmt::format("epoch {}: weights", point.epoch));
    point.spectra.push_back(measure("weights",
                                    "train loss",
                                    state.network.weights(),
                                    train,
                                    o.decay ? c.weight_decay : 0,
                                    o,
                                    c.seed,
                                    rounding,
                                    [&](const std::vector<nas::Batch>& batches) {
                                      return nas::weight_hessian(state, batches, search.step());
                                    }));
  }
  return point;
}

std::vector<std::string> faults_of(const HessianPoint& point) {
  std::vector<std::string> faults;
  for (const Spectrum& s : point.spectra) {
    const auto fault = [&](const std::string& what, double value, double residual) {
      faults.push_back(fmt::format(
          "{}, {}: {} did not converge: residual {:.3g} of an eigenvalue {:.6g}; allow more with "
          "--steps",
          point.source,
          s.of,
          what,
          residual,
          value));
    };
    if (!s.converged) {
      const auto worst = std::ranges::max_element(s.residuals) - s.residuals.begin();
      fault(fmt::format("Lanczos in {} products, with {} of {} values,",
                        s.products,
                        s.values.size(),
                        s.asked),
            s.values[worst],
            s.residuals[worst]);
    }
    for (size_t k = 0; k < s.each.size(); ++k) {
      if (!s.each_converged[k])
        fault(fmt::format("Lanczos on batch {} by itself", k), s.each[k], s.each_residuals[k]);
    }
  }
  return faults;
}

}  // namespace oche::tools
