// The results of a study of gradients.
#include "tools/gradient_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "engine/safetensors.h"
#include "engine/types.h"

namespace oche::tools {
namespace {

using nas::Agreement;

struct Column {
  const char* name;
  double Agreement::*member;
};
constexpr Column kColumns[] = {{"cosine", &Agreement::cosine},
                               {"error", &Agreement::error},
                               {"norm_ratio", &Agreement::norm_ratio},
                               {"signs", &Agreement::signs},
                               {"bias", &Agreement::bias}};

double mean(const std::vector<double>& values) {
  return values.empty() ? std::nan("")
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
}

// JSON has no NaN.
Json number(double x) {
  return std::isfinite(x) ? Json(x) : Json();
}

Json to_json(const MeanDeviation& m) {
  return {{"mean", number(m.mean)}, {"deviation", number(m.deviation)}};
}

std::string cell(double x, const char* format) {
  return std::isfinite(x) ? fmt::format(fmt::runtime(format), x) : "-";
}

Vector mean_gradient(const std::vector<Outcome>& outcomes) {
  Vector sum(outcomes[0].gradient.size(), 0);
  for (const Outcome& o : outcomes) add(sum, 1 / static_cast<double>(outcomes.size()), o.gradient);
  return sum;
}

Json numbers_of(const Variant& v) {
  Json numbers = Json::object();
  for (const auto& [name, value] : v.numbers) numbers[name] = value;
  return numbers;
}

// Everything that a study estimated, the reference first.
struct Estimated {
  const Variant& variant;
  const std::vector<Outcome>& outcomes;
  const Row& row;
  std::string label;
  std::optional<size_t> place;  // among the variants; none: the reference
};
std::vector<Estimated> all_of(const Study& study) {
  std::vector<Estimated> all{
      {study.reference, study.references, study.reference_row, study.reference.label(), {}}};
  for (size_t i = 0; i < study.variants.size(); ++i)
    all.push_back(
        {study.variants[i], study.outcomes[i], study.rows[i], study.variants[i].label(), i});
  return all;
}

struct Part {
  const char* name;
  double ErrorParts::*member;
};
constexpr Part kParts[] = {{"inner", &ErrorParts::inner},
                           {"inverse", &ErrorParts::inverse},
                           {"finite_difference", &ErrorParts::finite_difference},
                           {"precision", &ErrorParts::precision}};

// Cosine by table and bias by candidate, where there are edges.
std::string groups_table(const Study& study) {
  const std::vector<nas::GroupAgreement>& groups = study.reference_row.groups;
  if (std::ranges::count(groups, nas::kByEdge, &nas::GroupAgreement::by) == 0) return "";
  struct Shown {
    std::string_view by;
    double Agreement::*figure;
    const char* format;
  };
  constexpr Shown kShown[] = {{nas::kByTable, &Agreement::cosine, "{:.4f}"},
                              {nas::kByCandidate, &Agreement::bias, "{:+.3f}"}};
  const auto line = [&](const std::string& label, const auto& text_of) {
    std::string text = fmt::format("{:<32}", label);
    for (const Shown& shown : kShown) {
      for (size_t g = 0; g < groups.size(); ++g)
        if (groups[g].by == shown.by)
          text += fmt::format(
              " {:>{}}", text_of(g, shown), std::max<size_t>(7, groups[g].group.size()));
    }
    return text;
  };
  std::string text = line("table: cosine, candidate: bias",
                          [&](size_t g, const Shown&) { return groups[g].group; });
  text += "\n";
  for (size_t i = 0; i < study.variants.size(); ++i) {
    const Row& row = study.rows[i];
    text += line(study.variants[i].label(), [&](size_t g, const Shown& shown) {
      return cell(row.groups[g].agreement.*shown.figure, shown.format);
    });
    text += row.fault.empty() ? "\n" : "  !\n";
  }
  return text;
}

// Beside the parts what one batch leaves to chance.
std::string parts_table(const Study& study) {
  if (study.parts.empty()) return "";
  const auto with_deviation = [](const MeanDeviation& m) {
    return std::isfinite(m.mean) ? fmt::format("{:.3e} +- {:.1e}", m.mean, m.deviation) : "-";
  };
  std::string text = fmt::format("{:<32}", "error taken apart");
  for (const Part& part : kParts) text += fmt::format(" {:>17}", part.name);
  text += fmt::format(" {:>20}\n", "stochastic");
  for (size_t i = 0; i < study.variants.size(); ++i) {
    text += fmt::format("{:<32}", study.variants[i].label());
    for (const Part& part : kParts)
      text += fmt::format(" {:>17}", cell(study.parts[i].*part.member, "{:.3e}"));
    text += fmt::format(
        " {:>20}{}\n", with_deviation(study.rows[i].stochastic), study.parts[i].valid ? "" : "  !");
  }
  return text;
}

// What a CSV line says of an estimate beside its agreement.
constexpr const char* kFurther[] = {"argmax", "genotype", "passes", "seconds", "peak_bytes"};

std::string csv_line(const Study& study,
                     const std::string& label,
                     const std::string& pair,
                     const std::string& group,
                     const Agreement& a,
                     const std::array<double, std::size(kFurther)>& further,
                     bool valid) {
  std::string line = fmt::format("{},{},{},{},{},{}",
                                 study.subject.epoch,
                                 study.subject.step,
                                 study.reference.label(),
                                 label,
                                 pair,
                                 group);
  const auto add = [&](double x) {  // the sign of a NaN says nothing
    line += fmt::format(",{}", std::isnan(x) ? std::nan("") : x);
  };
  for (const Column& c : kColumns) add(a.*c.member);
  for (const double x : further) add(x);
  return line + fmt::format(",{}\n", valid ? 1 : 0);
}

// What is not as it would be by default.
std::string conditions(const Study& study) {
  const Subject& s = study.subject;
  std::string text;
  if (study.start.steps > 0) text += fmt::format(", after {} inner steps", study.start.steps);
  if (study.start.optimum) text += ", at the inner optimum";
  if (s.train_batches > 1) text += fmt::format(", inner steps on {} batches", s.train_batches);
  if (s.smooth > 0) text += fmt::format(", smooth {:g}", s.smooth);
  if (s.fused == false) text += ", not fused";
  return text;
}

}  // namespace

std::string study_table(const Study& study) {
  const Subject& s = study.subject;
  std::string text = fmt::format(
      "{}, epoch {}, step {}: {} alphas, {} weights, {}; reference {}, {} {} of batches, xi "
      "{:.4g}{}\n",
      s.source,
      s.epoch,
      s.step,
      s.entries.size(),
      s.weights,
      to_string(s.dtype),
      study.reference.label(),
      study.references.size(),
      study.references.size() == 1 ? "pair" : "pairs",
      s.rate,
      conditions(study));
  const bool several = study.references.size() > 1;
  text += fmt::format("{:<32} {:>9}{} {:>10} {:>7} {:>6} {:>7} {:>8} {:>7} {:>9} {:>10}\n",
                      "estimator",
                      "cosine",
                      several ? "       +-" : "",
                      "rel. error",
                      "norm",
                      "signs",
                      "arg-max",
                      "genotype",
                      "passes",
                      "seconds",
                      "tensor MiB");
  for (const Estimated& e : all_of(study)) {
    const Row& row = e.row;
    const auto [cosine, deviation] = over_pairs(row, &Agreement::cosine);
    const auto of = [&](double Agreement::*member) { return over_pairs(row, member).mean; };
    text += fmt::format("{:<32} {:>9}{} {:>10} {:>7} {:>6} {:>7} {:>8} {:>7} {:>9} {:>10}{}\n",
                        e.place ? e.label : fmt::format("({})", e.label),
                        cell(cosine, "{:.6f}"),
                        several ? fmt::format(" {:>8}", cell(deviation, "{:.4f}")) : "",
                        cell(of(&Agreement::error), "{:.3e}"),
                        cell(of(&Agreement::norm_ratio), "{:.3f}"),
                        cell(of(&Agreement::signs), "{:.2f}"),
                        cell(mean(row.argmax), "{:.2f}"),
                        cell(mean(row.genotype), "{:.2f}"),
                        row.passes,
                        cell(row.seconds, "{:.3f}"),
                        cell(static_cast<double>(row.peak_bytes) / (1 << 20), "{:.1f}"),
                        row.fault.empty() ? "" : "  !");
  }
  return text + groups_table(study) + parts_table(study);
}

Json to_json(const Study& study) {
  const Subject& s = study.subject;
  Json document = {{"source", s.source},
                   {"epoch", s.epoch},
                   {"step", s.step},
                   {"dtype", to_string(s.dtype)},
                   {"weights", s.weights},
                   {"alphas", s.entries.size()},
                   {"rate", s.rate},
                   {"batch", s.batch},
                   {"pairs", study.references.size()},
                   {"smooth", s.smooth > 0 ? Json(s.smooth) : Json()},
                   {"train_batches", s.train_batches},
                   {"inner_steps", study.start.steps},
                   {"inner_optimum", study.start.optimum},
                   {"fused", s.fused ? Json(*s.fused) : Json()},
                   {"faults", study.faults},
                   {"note", study.note.empty() ? Json() : Json(study.note)},
                   {"rows", Json::array()}};
  for (const Estimated& e : all_of(study)) {
    const Row& row = e.row;
    Json j = {{"estimator", e.variant.name()},
              {"reference", !e.place},
              {"label", e.variant.label()},
              {"numbers", numbers_of(e.variant)}};
    if (!e.variant.swept.empty())
      j["sweep"] = {{"key", e.variant.swept}, {"value", e.variant.value}};
    for (const Column& c : kColumns) {
      j[c.name] = to_json(over_pairs(row, c.member));
    }
    j["argmax"] = number(mean(row.argmax));
    j["genotype"] = number(mean(row.genotype));
    j["stochastic"] = to_json(row.stochastic);
    j["passes"] = row.passes;
    j["seconds"] = row.seconds;
    j["peak_bytes"] = row.peak_bytes;
    j["residual"] = row.residual ? number(*row.residual) : Json();
    j["inner_gradient"] = row.inner_gradient ? number(*row.inner_gradient) : Json();
    j["fault"] = row.fault.empty() ? Json() : Json(row.fault);
    for (const nas::GroupAgreement& g : row.groups) {
      Json group = {{"by", g.by}, {"group", g.group}};
      for (const Column& c : kColumns) group[c.name] = number(g.agreement.*c.member);
      j["groups"].push_back(std::move(group));
    }
    if (e.place && !study.parts.empty()) {
      for (const Part& part : kParts)
        j["parts"][part.name] = number(study.parts[*e.place].*part.member);
      j["parts"]["valid"] = study.parts[*e.place].valid;
    }
    document["rows"].push_back(std::move(j));
  }
  return document;
}

std::string csv_of(const std::vector<Study>& studies) {
  std::string text = "epoch,step,reference,estimator,pair,group";
  for (const Column& c : kColumns) text += fmt::format(",{}", c.name);
  for (const char* name : kFurther) text += fmt::format(",{}", name);
  text += ",valid\n";
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  for (const Study& study : studies) {
    for (const Estimated& e : all_of(study)) {
      if (!e.place) continue;
      const Row& row = e.row;
      for (size_t k = 0; k < row.agreements.size(); ++k) {
        const Outcome& o = e.outcomes[k];
        text += csv_line(study,
                         e.label,
                         fmt::format("{}", k),
                         "all",
                         row.agreements[k],
                         {row.argmax[k],
                          row.genotype[k],
                          static_cast<double>(o.passes),
                          o.seconds,
                          static_cast<double>(o.peak_bytes)},
                         row.faults[k].empty());
      }
      for (const nas::GroupAgreement& g : row.groups)
        text += csv_line(study,
                         e.label,
                         "mean",
                         g.group,
                         g.agreement,
                         {kNone, kNone, kNone, kNone, kNone},
                         row.fault.empty());
    }
  }
  return text;
}

void dump(const std::filesystem::path& path, const std::vector<Study>& studies) {
  SafetensorsWriter writer;
  for (const Study& study : studies) {
    const std::string point =
        studies.size() == 1 ? "" : fmt::format("epoch-{}/", study.subject.epoch);
    for (const Estimated& e : all_of(study)) {
      const Vector gradient = mean_gradient(e.outcomes);
      auto at = gradient.begin();
      for (const auto& [name, shape] : study.subject.alphas) {
        const auto n = numel(shape);
        writer.add(fmt::format("{}{}/{}", point, e.place ? e.label : "reference", name),
                   {shape.begin(), shape.end()},
                   Vector(at, at + n));
        at += n;
      }
    }
  }
  writer.write(path);
}

}  // namespace oche::tools
