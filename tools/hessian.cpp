// oche hessian: the curvature of a search.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <stdexcept>

#include "engine/error.h"
#include "engine/file.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/spectrum.h"
#include "tools/study_options.h"

namespace oche::tools {
namespace {

constexpr const char* kNotes =
    R"(The largest eigenvalues of the Hessian of the search loss by the alphas (what RobustDARTS watches) and of the
train loss by the weights, by Lanczos' iteration with exact products, at a checkpoint or at those of a run. Batches
are the first ones of a fixed shuffle of either half, without augmentation. Nothing is trained or changed. The
examples follow the second one of `oche search`.

With --probes, a Hessian that has no more rows than these take products (and 512 at most) is built whole instead: all
of its eigenvalues, and how many are below 0, are then exact.

Exit code 7: an eigenvalue did not converge; it is marked by `!`. docs/hessian.md has the formulas.

Examples:
  oche hessian runs/a --of alpha --batches 2
  oche hessian runs/a --of alpha --probes 2 --landscape 11 --report hessian.html
)";

struct Arguments {
  StudyOptions what;
  std::string of = "both", csv, page;
  SpectrumOptions spectrum;
  bool json = false;
};

HessianPoint measure(FrozenSearch search, const SpectrumOptions& options, Console& console) {
  if (options.alpha && search.state().relaxation().straight_through())
    throw UsageError(
        fmt::format("hessian: {}: {} has no Hessian by the alphas, as the gradient of "
                    "straight-through weights is nobody's derivative; --of weights has one",
                    search.source(),
                    search.config().relaxation));
  try {
    return measure_spectra(search, options, [&](const std::string& line) { console.detail(line); });
  } catch (const std::invalid_argument& e) {
    throw UsageError(fmt::format("hessian: {}: {}", search.source(), e.what()));
  }
}

int hessian(const Arguments& args, Console& console) {
  const std::vector<std::filesystem::path> files = args.what.files("hessian");
  prepare(args.what, console);
  SpectrumOptions options = args.spectrum;
  options.batches = args.what.batches;
  options.batch = args.what.batch;
  options.alpha = args.of != "weights";
  options.weights = args.of != "alpha";
  std::vector<HessianPoint> points;
  Json document = {{"schema", 1}, {"points", Json::array()}};
  bool converged = true;
  for (const std::filesystem::path& file : files) {  // one search is in memory at a time
    points.push_back(measure(args.what.open(file, args.what.type()), options, console));
    document["points"].push_back(to_json(points.back()));
    if (!args.json) fmt::print("{}", spectra_table(points.back()));
    for (const std::string& fault : faults_of(points.back())) {
      console.error(fault);
      converged = false;
    }
  }
  if (!args.csv.empty()) write_file_atomically(args.csv, csv_of(points));
  if (!args.page.empty()) write_file_atomically(args.page, hessian_page(points));
  if (args.json) print_json(document);
  return converged ? kDone : kCheckFailed;
}

}  // namespace

Command add_hessian(CLI::App& app, Console& console) {
  CLI::App* command = app.add_subcommand(
      "hessian", "Measure the curvature of a search: eigenvalues, density, slices");
  auto args = std::make_shared<Arguments>();
  SpectrumOptions& s = args->spectrum;
  const auto option = [&](const char* group,
                          const char* name,
                          auto& value,
                          const char* placeholder,
                          const std::string& help) {
    return add_value_option(*command, group, name, value, placeholder, help);
  };
  const char* what = "What is studied";
  add_study_options(*command, args->what);
  option(what, "--of", args->of, "WHICH", "alpha, weights or both [both]")
      ->type_name("{alpha,weights,both}")
      ->check(CLI::IsMember({"alpha", "weights", "both"}));
  command->add_flag("--decay", s.decay, "add the run's weight decay to the diagonal")->group(what);
  const char* how = "How";
  option(how, "--count", s.count, "N", "eigenvalues, the largest [1]")->check(CLI::Range(1, 1000));
  option(how, "--steps", s.steps, "N", "products, at most [60]")->check(CLI::Range(1, 10000));
  option(
      how, "--tolerance", s.tolerance, "X", "of a residual, over the largest |eigenvalue| [1e-4]")
      ->check(CLI::PositiveNumber);
  option(how, "--probes", s.probes, "N", "random directions for the spectral density; 0: none [0]")
      ->check(CLI::Range(0, 10000));
  option(how, "--density-steps", s.density_steps, "N", "products from each of them [40]")
      ->check(CLI::Range(1, 10000));
  option(how,
         "--landscape",
         s.slice,
         "N",
         "losses at N points along the first eigenvector; 0: none [0]")
      ->check(CLI::Range(0, 10000));
  option(how, "--landscape-radius", s.slice_radius, "X", "from -X to X of its length 1 [1]")
      ->check(CLI::PositiveNumber);
  const char* out = "Results";
  option(out, "--csv", args->csv, "FILE", "eigenvalues, densities and slices");
  option(out, "--report", args->page, "FILE", "a page with the plots, as HTML");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return hessian(*args, console); }};
}

}  // namespace oche::tools
