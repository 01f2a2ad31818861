// oche hessian: the curvature of a search.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <stdexcept>

#include "engine/error.h"
#include "engine/file.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/device_option.h"
#include "tools/exit_code.h"
#include "tools/spectrum.h"

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
  std::string path, state, data, dtype, of = "both", device = "auto", csv, page;
  std::vector<int64_t> epochs;
  SpectrumOptions spectrum;
  int threads = default_threads();
  bool fuse = true, json = false;
};

// One of the searches to look at.
FrozenSearch open(const std::filesystem::path& path, const Arguments& args) {
  FreezeOptions options{.dtype = {}, .data = args.data, .fuse = args.fuse};
  if (!args.dtype.empty()) options.dtype = args.dtype == "f64" ? DType::kFloat64 : DType::kFloat32;
  return args.state.empty() ? FrozenSearch::from_checkpoint(path, options)
                            : FrozenSearch::from_state(path, options);
}

HessianPoint measure(FrozenSearch search, const SpectrumOptions& options, Console& console) {
  if (search.most_pairs() && options.batches > *search.most_pairs())
    throw UsageError(fmt::format("--batches: {} has {} pair of batches; {} were asked for",
                                 search.source(),
                                 *search.most_pairs(),
                                 options.batches));
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
  if (args.path.empty() == args.state.empty())
    throw UsageError("hessian: expected one of PATH and --state FILE");
  const auto paths = args.state.empty() ? checkpoints_of(args.path, args.epochs)
                                        : std::vector<std::filesystem::path>{args.state};
  choose_device(args.device, console);
  use_threads(args.threads);
  SpectrumOptions options = args.spectrum;
  options.alpha = args.of != "weights";
  options.weights = args.of != "alpha";
  std::vector<HessianPoint> points;
  Json document = {{"schema", 1}, {"points", Json::array()}};
  bool converged = true;
  for (const auto& path : paths) {
    // One search is in memory at a time.
    points.push_back(measure(open(path, args), options, console));
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
    return command->add_option(name, value, help)->option_text(placeholder)->group(group);
  };
  const char* what = "What is measured";
  command->add_option("PATH", args->path, "a checkpoint, or a run directory")
      ->check(CLI::ExistingPath);
  option(what,
         "--state",
         args->state,
         "FILE",
         "a state that benchmarks/peers wrote, with its two batches")
      ->check(CLI::ExistingFile);
  option(what, "--of", args->of, "WHICH", "alpha, weights or both [both]")
      ->type_name("{alpha,weights,both}")
      ->check(CLI::IsMember({"alpha", "weights", "both"}));
  option(
      what, "--epochs", args->epochs, "LIST", "of a run, after these epochs [all that were kept]")
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  option(what, "--batches", s.batches, "N", "batches of each half [1]")
      ->check(CLI::Range(1, 100000));
  option(what, "--batch", s.batch, "N", "images of a batch [the run's]")
      ->check(CLI::Range(1, 1000000));
  option(what, "--dtype", args->dtype, "TYPE", "f32 or f64 [the run's]; weights are converted")
      ->check(CLI::IsMember({"f32", "f64"}));
  option(what, "--data", args->data, "DIR", "where the images are, if not where the run had them");
  command->add_flag("!--no-fuse", args->fuse, "cells in small ops")->group(what);
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
  add_device_option(*command, args->device)->group("Run");
  add_threads_option(*command, args->threads)->group("Run");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return hessian(*args, console); }};
}

}  // namespace oche::tools
