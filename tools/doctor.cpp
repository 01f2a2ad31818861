// oche doctor: what this machine offers, and what is missing.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nas/data/image_file.h"
#include "nas/environment.h"
#include "nas/picture.h"
#include "nas/published.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/cuda_report.h"
#include "tools/data_sets.h"
#include "tools/exit_code.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

constexpr const char* kNotes = R"(Examples:
  oche doctor
  oche doctor --json
)";

struct Arguments {
  std::string data = "data";
  bool json = false;
};

int64_t memory_bytes(int pages) {
  return static_cast<int64_t>(sysconf(pages)) * sysconf(_SC_PAGESIZE);
}

bool draws_pictures() {
  const nas::Genotype& any = nas::published_genotypes().front().genotype;
  return nas::dot_to_svg(nas::cell_to_dot(any.normal, "")).has_value();
}

// "ok", or what is wrong and how to get it.
std::string state_of(const DataSet& set, const std::string& directory) {
  if (set.origin == Origin::kGenerated) return "ok (generated)";
  try {
    for (const nas::Part part : {nas::Part::kTrain, nas::Part::kTest}) set.load(directory, part);
    return "ok";
  } catch (const DataError& e) {
    std::string_view what = e.what();
    const std::string subject = fmt::format("{}: ", set.name);
    if (what.starts_with(subject)) what.remove_prefix(subject.size());
    return std::string(what);
  }
}

Json examine(const std::string& data_directory) {
  Json report = Json::parse(nas::environment_json("", 0));
  for (const char* of_a_run : {"seed", "config_sha256", "device"}) report.erase(of_a_run);
  report["devices"] = {"cpu"};
  report["cuda"] = cuda_report();
  for (const Json& device : report["cuda"]["devices"]) {
    report["devices"].push_back(device["device"]);
  }
  report["memory_bytes"] = memory_bytes(_SC_PHYS_PAGES);
  report["memory_free_bytes"] = memory_bytes(_SC_AVPHYS_PAGES);
  report["graphviz"] = draws_pictures();
  report["png"] = !nas::libpng_version().empty();
  report["jpeg"] = !nas::libjpeg_version().empty();
  for (const DataSet& set : data_sets()) {
    if (set.origin == Origin::kOwn) continue;
    report["data_sets"][std::string(set.name)] = state_of(set, data_directory);
  }
  return report;
}

void print_text(const Json& report) {
  const auto text = [&](const char* key) { return report[key].get<std::string>(); };
  const auto number = [&](const char* key) { return report[key].get<int64_t>(); };
  const auto gib = [&](const char* key) { return static_cast<double>(number(key)) / (1 << 30); };
  fmt::print("oche          {} ({}), {}, kernels for {}\n",
             text("version"),
             text("revision"),
             text("compiler"),
             text("kernels_built_for"));
  fmt::print("devices       {}\n",
             fmt::join(report["devices"].get<std::vector<std::string>>(), ", "));
  print_cuda(report["cuda"]);
  fmt::print("processor     {}, {} threads\n", text("cpu"), number("logical_cpus"));
  fmt::print("instructions  {}\n",
             fmt::join(report["instruction_sets"].get<std::vector<std::string>>(), " "));
  fmt::print(
      "memory        {:.1f} GiB, {:.1f} GiB free\n", gib("memory_bytes"), gib("memory_free_bytes"));
  fmt::print("Graphviz      {}\n",
             report["graphviz"].get<bool>()
                 ? "yes: cells are drawn as SVG"
                 : "no: cells are written as DOT text (Debian: libgraphviz-dev, then build again)");
  const auto library = [&](const char* key, const char* package) {
    return report[key].get<bool>() ? std::string("yes")
                                   : fmt::format("no (Debian: {}, then build again)", package);
  };
  fmt::print("images        PNG {}, JPEG {}\n",
             library("png", "libpng-dev"),
             library("jpeg", "libjpeg-dev"));
  for (const auto& [name, state] : report["data_sets"].items()) {
    fmt::print("data set      {}: {}\n", name, state.get<std::string>());
  }
}

int doctor(const Arguments& args) {
  const Json report = examine(args.data);
  if (args.json) {
    print_json(report);
  } else {
    print_text(report);
  }
  return kDone;
}

}  // namespace

Command add_doctor(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("doctor", "Show devices, libraries and data sets, and what is missing");
  auto args = std::make_shared<Arguments>();
  command->add_option("--data", args->data, "directory with downloaded data sets [data]")
      ->option_text("DIR")
      ->group("Data");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args] { return doctor(*args); }};
}

}  // namespace oche::tools
