// The spectra of a search held still, and what `oche hessian` makes of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/spectral_density.h"
#include "nas/hessian.h"
#include "tools/frozen_search.h"
#include "tools/json_output.h"

namespace oche::tools {

struct SpectrumOptions {
  bool alpha = true, weights = true;
  int64_t batches = 1, batch = 0;  // the latter in images; 0: the run's
  int64_t count = 1, steps = 60;
  double tolerance = 1e-4;
  bool decay = false;
  int64_t probes = 0, density_steps = 40;  // 0: no density; see Spectrum::all
  int64_t slice = 0;                       // points; 0: no slice
  double slice_radius = 1;
};

// Of one Hessian.
struct Spectrum {
  std::string of;    // "alpha", "weights"
  std::string loss;  // "search loss", "train loss"
  int64_t size = 0;
  double decay = 0;                       // that was added to the diagonal
  std::vector<double> values, residuals;  // the largest first; the latter absolute
  int64_t asked = 0;                      // how many were to be found
  double least = 0, least_residual = 0;   // the smallest that was seen, which nothing waits for
  double allowed = 0;                     // of a residual
  bool converged = false;
  std::vector<double> each, each_residuals;  // the largest of each batch by itself
  std::vector<bool> each_converged;
  int64_t products = 0;  // of all batches at once, for these values
  double seconds = 0;
  std::optional<SpectralDensity> density;
  // With a density, where a product for each row costs no more than its probes: every eigenvalue,
  // rising, of which the density then is made.
  std::vector<double> all;
  Signs signs;                               // of these
  std::vector<double> slice_at, slice_loss;  // along the first eigenvector, of length 1

  // True iff this residual is one of an eigenvalue.
  bool is_within(double residual) const { return residual <= allowed; }
};
struct HessianPoint {
  std::string source;
  int64_t epoch, step;
  DType dtype;
  int64_t batches, batch;
  std::vector<Spectrum> spectra;
};

// Throws std::invalid_argument for a relaxation without a Hessian. `tell` gets a line now and then.
HessianPoint measure_spectra(FrozenSearch& search,
                             const SpectrumOptions& options,
                             const std::function<void(const std::string&)>& tell);

std::string spectra_table(const HessianPoint& point);
Json to_json(const HessianPoint& point);
// A line for each eigenvalue, residual, batch, point of a density and of a slice, and whether it
// has converged.
std::string csv_of(const std::vector<HessianPoint>& points);
// Eigenvalues along the epochs, densities, slices; needs nothing else, as report.html.
std::string hessian_page(const std::vector<HessianPoint>& points);
// What did not converge, with its residual.
std::vector<std::string> faults_of(const HessianPoint& point);

}  // namespace oche::tools
