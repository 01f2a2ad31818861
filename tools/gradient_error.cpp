// oche gradient-error: how wrong is an architecture gradient?
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/linear_solve.h"
#include "engine/ops.h"
#include "nas/toy_problems.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/gradient_output.h"
#include "tools/gradient_page.h"
#include "tools/study_options.h"

namespace oche::tools {
namespace {

using nas::Estimator;

constexpr const char* kNotes =
    R"(Estimates dL_val(w*(alpha), alpha)/dalpha in several ways at a checkpoint, at the checkpoints of a run, in a
state that PyTorch wrote, or on a problem with a known answer, and holds all of them against a reference. Nothing is
trained or changed. --list shows the estimators, what they are and their numbers; docs/gradient-error.md the formulas.

The reference is the known answer of a problem, else dense-implicit in f64 up to 4096 weights, else exact-unrolled,
unless --reference names another.
A cosine of 1 and an error of 0 are right. `signs`, `arg-max` and `genotype` are shares: of the alphas, of the edges
on which descent would raise the same candidate, of the edges of the cells derived when the alphas move along either
gradient. `!` marks what is no valid row; the reason stands below, and the exit code is 7.

Examples:
  oche gradient-error --problem ridge --reference dense-implicit --inner-optimum
  oche gradient-error --problem toy --estimators finite-difference --sweep radius=1e-6,1e-4,1e-2,1
)";

struct Arguments {
  StudyOptions what;
  std::string problem, csv, dump, page, reference;
  std::vector<std::string> estimators, set, sweeps;
  int64_t decompose = -1, train_batches = 1;
  double xi = -1, smooth = 0;
  InnerStart start;
  bool list = false, json = false;
};

double number_in(std::string_view text, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw UsageError(fmt::format("{}: {} is no finite number", where, quote(std::string(text))));
  return value;
}

std::pair<std::string, std::string> split_at(const std::string& text,
                                             char c,
                                             const std::string& where) {
  const size_t at = text.find(c);
  if (at == std::string::npos || at == 0)
    throw UsageError(fmt::format("{}: {}; expected NAME{}VALUE", where, quote(text), c));
  return {text.substr(0, at), text.substr(at + 1)};
}

const Estimator& named(const std::string& name, const char* option) {
  try {
    return nas::find_estimator(name);
  } catch (const std::invalid_argument& e) {
    throw UsageError(fmt::format("{}: {}", option, e.what()));
  }
}

// The estimator with its numbers as --set has them.
Variant variant_of(const Estimator& estimator, const Arguments& args) {
  Variant v{.estimator = &estimator, .numbers = estimator.defaults()};
  for (const std::string& text : args.set) {
    const auto [key, value] = split_at(text, '=', "--set");
    const auto [name, number] = split_at(key, '.', "--set");
    const Estimator& meant = named(name, "--set");
    if (meant.numbers.empty()) throw UsageError(fmt::format("--set: {} has no numbers", name));
    if (!meant.defaults().contains(number)) {
      std::vector<std::string_view> names;
      for (const nas::EstimatorNumber& n : meant.numbers) names.push_back(n.name);
      throw UsageError(fmt::format("--set: {} has no number '{}'; expected one of {}",
                                   name,
                                   number,
                                   fmt::join(names, ", ")));
    }
    if (&meant == &estimator) v.numbers[number] = number_in(value, "--set " + key);
  }
  return v;
}

// The names under which numbers are swept, where these differ.
bool sweeps_number(std::string_view key, std::string_view number) {
  if (key == "T") return number == "steps";
  if (key == "K") return number == "terms" || number == "iterations";
  return key == number;
}

// Those that have what is swept, once for each value.
std::vector<Variant> swept(const std::vector<Variant>& variants, const std::string& text) {
  const auto [key, list] = split_at(text, '=', "--sweep");
  std::vector<Variant> all;
  for (const Variant& v : variants) {
    size_t at = 0;
    while (at <= list.size()) {
      const size_t end = std::min(list.find(',', at), list.size());
      Variant next = v;
      next.swept = key;
      next.value = number_in(std::string_view(list).substr(at, end - at), "--sweep " + key);
      at = end + 1;
      bool has = true;
      if (key == "xi") {
        if (!(next.value >= 0))
          throw UsageError(fmt::format("--sweep xi: {}; expected a number from 0", next.value));
        next.rate = next.value;
      } else if (key == "batch") {
        if (!(next.value >= 1 && next.value < 1e9 && next.value == std::floor(next.value)))
          throw UsageError(
              fmt::format("--sweep batch: {}; expected a whole number from 1", next.value));
        next.batch = static_cast<int64_t>(next.value);
      } else {
        has = false;
        for (auto& [name, value] : next.numbers) {
          if (!sweeps_number(key, name)) continue;
          value = next.value;
          has = true;
        }
      }
      if (has) all.push_back(std::move(next));
    }
  }
  if (all.empty())
    throw UsageError(
        fmt::format("--sweep: no estimator that was asked for has a number '{}'", key));
  return all;
}

// All but references and those whose cost grows with the alphas.
bool by_default(const Estimator& e) {
  return !e.reference && e.name != "forward-mode" && e.name != "zero-order";
}

// As --estimators names them.
std::vector<Variant> asked_for(const Arguments& args) {
  for (const std::string& name : args.estimators)
    if (name != "all") named(name, "--estimators");
  std::vector<Variant> variants;
  for (const Estimator& e : nas::estimators()) {
    const bool asked = std::ranges::count(args.estimators, e.name) > 0;
    const bool all = std::ranges::count(args.estimators, "all") > 0;
    if (args.estimators.empty() ? by_default(e) : asked || (all && !e.reference))
      variants.push_back(variant_of(e, args));
  }
  return variants;
}

// Behind them what --sweep makes of them.
std::vector<Variant> variants_of(const std::vector<Variant>& asked, const Arguments& args) {
  std::vector<Variant> result = asked;
  std::set<std::string> labels;
  for (const std::string& sweep : args.sweeps) {
    for (Variant& v : swept(asked, sweep)) {
      if (!labels.insert(v.label()).second)
        throw UsageError(fmt::format("--sweep: {} would be there twice", quote(v.label())));
      result.push_back(std::move(v));
    }
  }
  return result;
}

// Numbers of estimators that do not run would change nothing.
void refuse_unused_numbers(const Arguments& args,
                           const std::vector<Variant>& asked,
                           const Variant& reference) {
  for (const std::string& text : args.set) {
    const std::string name = text.substr(0, text.find('.'));
    if (reference.name() != name && std::ranges::count(asked, name, &Variant::name) == 0)
      throw UsageError(fmt::format(
          "--set: {} is neither an estimator that was asked for nor the reference", name));
  }
}

void refuse_other_batches(const Subject& subject, const std::vector<Variant>& variants) {
  if (!subject.own_batches) return;
  if (subject.train_batches > 1)
    throw UsageError(fmt::format("--train-batches: {} has one", subject.source));
  for (const Variant& v : variants) {
    if (v.batch.value_or(subject.batch) != subject.batch)
      throw UsageError(
          fmt::format("--sweep batch: {} has batches of its own; {} images were asked for",
                      subject.source,
                      *v.batch));
  }
}

// A point to study: one of the files, or the problem where there are none.
Subject subject_at(const std::string& file, const Arguments& args, std::optional<DType> type) {
  if (file.empty()) return toy_subject(args.problem, type.value_or(DType::kFloat64));
  return subject_of(std::make_shared<FrozenSearch>(args.what.open(file, type)), args.train_batches);
}

// The known answer; else what is affordable: the exact one of a small problem, or the exact
// gradient of one step.
Variant reference_of(const Subject& subject, const Arguments& args) {
  if (!args.reference.empty()) return variant_of(named(args.reference, "--reference"), args);
  if (!subject.closed_form.empty()) return {};
  const bool small = subject.weights <= kDenseLimit && subject.dtype == DType::kFloat64;
  return variant_of(nas::find_estimator(small ? "dense-implicit" : "exact-unrolled"), args);
}

Study study(const std::string& file, const Arguments& args, Console& console) {
  const std::vector<Variant> asked = asked_for(args);
  std::vector<Variant> variants = variants_of(asked, args);
  Subject subject = subject_at(file, args, args.what.type());
  subject.smooth = args.smooth;
  if (args.what.batch > 0) subject.batch = args.what.batch;
  if (args.xi >= 0) subject.rate = args.xi;
  Variant reference = reference_of(subject, args);
  refuse_unused_numbers(args, asked, reference);
  refuse_other_batches(subject, variants);
  const std::string source = subject.source;
  try {
    const auto tell = [&](const std::string& line) { console.detail(source + ": " + line); };
    Study study = run_study(std::move(subject),
                            std::move(variants),
                            std::move(reference),
                            args.what.batches,
                            args.start,
                            tell);
    if (args.decompose >= 0) {
      std::optional<Subject> precise;
      if (study.subject.dtype != DType::kFloat64) precise = subject_at(file, args, DType::kFloat64);
      take_apart(study, args.decompose, std::move(precise), tell);
    }
    release(study);
    return study;
  } catch (const std::invalid_argument& e) {
    throw UsageError(fmt::format("gradient-error: {}", e.what()));
  }
}

int list(bool as_json) {
  Json document = {{"schema", 1}, {"estimators", Json::array()}};
  for (const Estimator& e : nas::estimators()) {
    Json row = {
        {"name", e.name}, {"what", e.what}, {"source", e.source}, {"reference", e.reference}};
    row["numbers"] = Json::array();
    if (!as_json)
      fmt::print("{}{}\n  {} ({})\n", e.name, e.reference ? " (reference)" : "", e.what, e.source);
    for (const nas::EstimatorNumber& n : e.numbers) {
      row["numbers"].push_back({{"name", n.name}, {"default", n.value}, {"what", n.what}});
      if (!as_json) fmt::print("  --set {}.{}={:g}  {}\n", e.name, n.name, n.value, n.what);
    }
    document["estimators"].push_back(std::move(row));
  }
  if (as_json) print_json(document);
  return kDone;
}

void refuse_for_problem(const Arguments& args) {
  const StudyOptions& what = args.what;
  if (args.train_batches > 1) throw UsageError("--train-batches: a problem has one");
  if (args.smooth > 0) throw UsageError("--smooth: a problem has no relu");
  if (what.batches > 1) throw UsageError("--batches: a problem has one pair of batches");
  if (what.batch > 0) throw UsageError("--batch: a problem has batches of its own");
  if (!what.epochs.empty()) throw UsageError("--epochs: a problem has none");
  if (!what.data.empty()) throw UsageError("--data: a problem reads no images");
}

int gradient_error(const Arguments& args, Console& console) {
  if (args.list) return list(args.json);
  if (!args.what.path.empty() + !args.what.state.empty() + !args.problem.empty() != 1)
    throw UsageError("gradient-error: expected one of PATH, --state FILE and --problem NAME");
  if (!args.problem.empty()) refuse_for_problem(args);
  const std::vector<std::filesystem::path> files = args.problem.empty()
                                                       ? args.what.files("gradient-error")
                                                       : std::vector<std::filesystem::path>{""};
  prepare(args.what, console);
  std::optional<SmoothRelu> smooth;
  if (args.smooth > 0) smooth.emplace(args.smooth);
  std::vector<Study> studies;
  Json document = {{"schema", 1}, {"points", Json::array()}};
  bool valid = true;
  for (const std::filesystem::path& file : files) {
    studies.push_back(study(file.native(), args, console));
    document["points"].push_back(to_json(studies.back()));
    if (!args.json) fmt::print("{}", study_table(studies.back()));
    if (!studies.back().note.empty()) console.note(studies.back().note);
    for (const std::string& fault : studies.back().faults) {
      console.error(fault);
      valid = false;
    }
  }
  if (!args.csv.empty()) write_file_atomically(args.csv, csv_of(studies));
  if (!args.dump.empty()) dump(args.dump, studies);
  if (!args.page.empty()) write_file_atomically(args.page, gradient_page(studies));
  if (args.json) print_json(document);
  return valid ? kDone : kCheckFailed;
}

}  // namespace

Command add_gradient_error(CLI::App& app, Console& console) {
  CLI::App* command = app.add_subcommand(
      "gradient-error", "Measure how far architecture gradients are from the true one");
  auto args = std::make_shared<Arguments>();
  const auto option = [&](const char* group,
                          const char* name,
                          auto& value,
                          const char* placeholder,
                          const std::string& help) {
    return add_value_option(*command, group, name, value, placeholder, help);
  };
  const char* what = "What is studied";
  add_study_options(*command, args->what);
  const auto problems = nas::toy_problem_names();
  option(what,
         "--problem",
         args->problem,
         "NAME",
         fmt::format("a problem with a known answer: {}", fmt::join(problems, ", ")))
      ->type_name(fmt::format("{{{}}}", fmt::join(problems, ",")))
      ->check(CLI::IsMember(std::vector<std::string>(problems.begin(), problems.end())));
  option(what, "--inner-steps", args->start.steps, "N", "first N further inner steps [0]")
      ->check(CLI::Range(0, 1000000));
  option(what,
         "--train-batches",
         args->train_batches,
         "N",
         "train batches that inner steps take in turn, from the pair's on [1]")
      ->check(CLI::Range(1, 1000000));
  command
      ->add_flag(
          "--inner-optimum", args->start.optimum, "first solve the inner problem; small networks")
      ->group(what);
  option(what,
         "--smooth",
         args->smooth,
         "S",
         "softplus(S x) / S in place of relu, in small ops: what kinks do")
      ->check(CLI::PositiveNumber);
  const char* how = "Estimates";
  may_repeat(option(how,
                    "--estimators",
                    args->estimators,
                    "LIST",
                    "by name, or all [all but references, forward-mode and zero-order]")
                 ->delimiter(','));
  option(how,
         "--reference",
         args->reference,
         "NAME",
         "the estimator that all are held against [the known answer, or by size]");
  option(how, "--xi", args->xi, "X", "rate of the inner step [the run's at that epoch]")
      ->check(CLI::NonNegativeNumber);
  may_repeat(option(how, "--set", args->set, "NAME.NUMBER=X", "a number of an estimator"));
  may_repeat(option(
      how,
      "--sweep",
      args->sweeps,
      "KEY=LIST",
      "a further row for each value: radius, xi, T (steps), K (terms, iterations), batch, or any "
      "number's name"));
  option(how,
         "--decompose",
         args->decompose,
         "N",
         "take the errors apart: at w from after N more inner steps, from the reference, from the "
         "exact product, from float64")
      ->check(CLI::Range(0, 1000000));
  command->add_flag("--list", args->list, "print the estimators and their numbers")->group(how);
  const char* out = "Results";
  option(out, "--csv", args->csv, "FILE", "a line for each estimator, pair and group");
  option(out, "--dump", args->dump, "FILE", "the gradients, as safetensors");
  option(out, "--report", args->page, "FILE", "a page with the plots, as HTML");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return gradient_error(*args, console); }};
}

}  // namespace oche::tools
