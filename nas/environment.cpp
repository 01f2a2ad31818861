// The environment of a run, as JSON.
#include "nas/environment.h"

#include <fmt/format.h>
#include <oche/version.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/device.h"
#include "engine/json.h"
#include "engine/runtime.h"
#include "engine/sha256.h"
#include "nas/data/image_file.h"

#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif
#if OCHE_HAVE_GRAPHVIZ
#include <graphviz/graphviz_version.h>
#endif

namespace oche::nas {
namespace {

using json = nlohmann::ordered_json;

// Those that change what the kernels and the mathematics library do.
constexpr std::string_view kInstructionSets[] = {"sse4_2",
                                                 "avx",
                                                 "avx2",
                                                 "fma",
                                                 "f16c",
                                                 "bmi2",
                                                 "avx512f",
                                                 "avx512bw",
                                                 "avx512dq",
                                                 "avx512vl",
                                                 "avx512_vnni",
                                                 "avx512_bf16",
                                                 "amx_tile",
                                                 "asimd",
                                                 "asimdhp",
                                                 "bf16",
                                                 "sve",
                                                 "sve2"};

struct Cpu {
  std::string model = "unknown";
  std::vector<std::string> instruction_sets = {};
};

// Of the first processor in /proc/cpuinfo.
Cpu find_cpu() {
  Cpu cpu;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    std::istringstream value(line.substr(colon + 1));
    if (key == "model name") {
      std::getline(value >> std::ws, cpu.model);
    } else if (key == "flags" || key == "Features") {
      for (std::string flag; value >> flag;) {
        if (std::ranges::find(kInstructionSets, flag) != std::end(kInstructionSets)) {
          cpu.instruction_sets.push_back(flag);
        }
      }
    }
  }
  return cpu;
}

json libraries() {
  json versions;
#if defined(__GLIBC__)
  versions["glibc"] = gnu_get_libc_version();
#endif
  versions["fmt"] =
      fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
  versions["nlohmann_json"] = fmt::format("{}.{}.{}",
                                          NLOHMANN_JSON_VERSION_MAJOR,
                                          NLOHMANN_JSON_VERSION_MINOR,
                                          NLOHMANN_JSON_VERSION_PATCH);
#if OCHE_HAVE_GRAPHVIZ
  versions["graphviz"] = PACKAGE_VERSION;
#endif
  if (const std::string png = libpng_version(); !png.empty()) versions["libpng"] = png;
  if (const std::string jpeg = libjpeg_version(); !jpeg.empty()) versions["libjpeg"] = jpeg;
  if (default_device().type == DeviceType::kCuda) {
    for (const auto& [name, version] : cuda_libraries()) versions[name] = version;
  }
  return versions;
}

std::string device_text() {
  const Device device = default_device();
  return device.type == DeviceType::kCpu ? "cpu" : cuda_device_name(device.index);
}

}  // namespace

std::string environment_json(const std::string& config_toml, uint64_t seed) {
  const Cpu cpu = find_cpu();
  const json document = {{"schema", 1},
                         {"version", kVersion},
                         {"revision", kRevision},
                         {"compiler", kCompiler},
                         {"build_type", kBuildType},
                         {"kernels_built_for", instruction_set()},
                         {"device", device_text()},
                         {"cpu", cpu.model},
                         {"instruction_sets", cpu.instruction_sets},
                         {"logical_cpus", std::thread::hardware_concurrency()},
                         {"threads", num_threads()},
                         {"libraries", libraries()},
                         {"seed", seed},
                         {"config_sha256", sha256_hex(std::as_bytes(std::span(config_toml)))}};
  return document.dump(2) + "\n";
}

std::vector<std::string> environment_changes(const std::string& before, const std::string& after) {
  const nlohmann::json old = parse_json(before, "env.json"), now = parse_json(after, "env.json");
  std::vector<std::string> changed;
  for (const auto& [key, value] : now.items()) {
    const bool matters = key != "threads" && key != "logical_cpus";
    if (matters && (!old.is_object() || old.value(key, nlohmann::json()) != value)) {
      changed.push_back(key);
    }
  }
  return changed;
}

}  // namespace oche::nas
