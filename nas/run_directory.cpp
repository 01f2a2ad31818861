// Writes the run directory.
#include "nas/run_directory.h"

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <system_error>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/checkpoint.h"
#include "nas/checkpoint_files.h"
#include "nas/environment.h"
#include "nas/picture.h"
#include "nas/report/page.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCheckpoints = "ckpt";
constexpr size_t kLastCheckpoints = 2;  // that stay, whatever else does
constexpr std::string_view kFiles[] = {"config.toml",
                                       "env.json",
                                       "metrics.csv",
                                       "events.jsonl",
                                       "genotypes.jsonl",
                                       "genotype.json",
                                       "genotype.txt",
                                       "weights.safetensors",
                                       "normal.svg",
                                       "reduce.svg",
                                       "normal.dot",
                                       "reduce.dot",
                                       "report.html",
                                       "trace.json"};

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw IoError("create the directory", path, error.value());
}

const RunOptions& checked(const RunOptions& options) {
  if (options.keep_every < 0) {
    throw std::invalid_argument(fmt::format(
        "--keep-every: {} is not allowed; expected 0 or more epochs", options.keep_every));
  }
  if (!(options.checkpoint_minutes >= 0)) {
    throw std::invalid_argument(
        fmt::format("--checkpoint-minutes: {} is not allowed; expected 0 (none) or more",
                    options.checkpoint_minutes));
  }
  return options;
}

fs::path created(fs::path path, Existing existing) {
  if (existing == Existing::kRefuse && !entries_of(path).empty()) {
    throw std::invalid_argument(
        fmt::format("run directory {} is not empty; use --force to replace the run in it, or name "
                    "another directory",
                    quote(path.native(), 4096)));
  }
  make_directory(path / kCheckpoints);
  return path;
}

}  // namespace

RunDirectory::RunDirectory(fs::path path, Existing existing, const RunOptions& options)
    : options_(checked(options)),
      path_(created(std::move(path), existing)),
      lock_(path_),
      record_(path_) {
  if (!lock_.held()) {
    throw std::invalid_argument(
        fmt::format("run directory {} is in use by another process; wait for it, or stop it",
                    quote(path_.native(), 4096)));
  }
  sweep_temporaries(path_);
  sweep_temporaries(path_ / kCheckpoints);
  if (existing != Existing::kContinue) remove_former_run();
}

// The checkpoints first: without one, nothing takes the rest for a run to go on with.
void RunDirectory::remove_former_run() const {
  for (const CheckpointFile& file : list_checkpoints(path_ / kCheckpoints, 1)) {
    remove_file(file.path);
  }
  for (const std::string_view name : kFiles) remove_file(path_ / name);
}

void RunDirectory::start(Search& search, const std::string& config_toml) {
  config_toml_ = config_toml;
  record_.start(search);
  write_file_atomically(path_ / "env.json", environment_json(config_toml, search.config().seed));
  write_file_atomically(path_ / "config.toml", config_toml);
  save(search, step_checkpoint_name(0));
}

std::vector<std::string> RunDirectory::resume(const Search& search,
                                              const std::string& config_toml) {
  if (read_file(path_ / "config.toml") != config_toml) {
    throw std::invalid_argument(fmt::format(
        "{}: not the configuration in the checkpoints of the run; undo the change, or start "
        "another run with this file as --config",
        (path_ / "config.toml").native()));
  }
  std::vector<std::string> changes = environment_changes(
      read_file(path_ / "env.json"), environment_json(config_toml, search.config().seed));
  config_toml_ = config_toml;
  record_.resume(search);
  return changes;
}

void RunDirectory::record_step(Search& search) {
  const std::chrono::duration<double, std::ratio<60>> minutes = Clock::now() - saved_;
  if (options_.checkpoint_minutes > 0 && minutes.count() >= options_.checkpoint_minutes) {
    save(search, step_checkpoint_name(search.progress().steps));
  }
}

// The checkpoint comes last: whoever continues from one finds the rows of all its epochs.
void RunDirectory::record_epoch(Search& search, const EpochReport& report) {
  record_.epoch(search, report);
  save(search, epoch_checkpoint_name(report.epoch + 1));
}

// Files that are newer than this checkpoint are damaged, or the search would have gone on from
// them: they do not count, and stay until it has passed them.
fs::path RunDirectory::save(Search& search, const std::string& name) {
  const fs::path file = fs::path(kCheckpoints) / name;
  save_checkpoint(path_ / file, search, config_toml_);
  saved_ = Clock::now();
  std::vector<CheckpointFile> files =
      list_checkpoints(path_ / kCheckpoints, search.steps_per_epoch());
  while (files.back().path != path_ / file) files.pop_back();
  for (size_t i = 0; i + kLastCheckpoints < files.size(); ++i) {
    const int64_t epoch = files[i].epoch;
    const bool stays = epoch > 0 && is_kept(epoch, search.config().epochs, options_.keep_every);
    if (!stays) remove_file(files[i].path);
  }
  return file;
}

std::vector<std::string> RunDirectory::finish(Search& search, const SearchResult& result) {
  std::vector<std::string> written;
  if (result.finished) {
    const auto write = [&](const std::string& name, const std::string& text) {
      write_file_atomically(path_ / name, text);
      written.push_back(name);
    };
    write("genotype.json", to_json(result.genotype));
    if (has_text(result.genotype)) write("genotype.txt", to_text(result.genotype) + "\n");
    save_weights(path_ / "weights.safetensors", search);
    written.push_back("weights.safetensors");
    for (const std::string_view cell : {"normal", "reduce"}) {
      written.push_back(write_picture(result.genotype, cell));
    }
  } else {
    written.push_back(save(search, step_checkpoint_name(search.progress().steps)).native());
  }
  record_.end(search, result);
  // Last, as it shows all of this.
  write_file_atomically(path_ / "report.html", report::page_of(path_));
  written.emplace_back("report.html");
  return written;
}

std::string RunDirectory::write_picture(const Genotype& genotype, std::string_view cell) const {
  const std::string dot = cell_to_dot(cell == "normal" ? genotype.normal : genotype.reduce,
                                      fmt::format("{} cell", cell));
  const std::optional<std::string> svg = dot_to_svg(dot);
  const std::string name = fmt::format("{}.{}", cell, svg ? "svg" : "dot");
  write_file_atomically(path_ / name, svg ? *svg : dot);
  return name;
}

}  // namespace oche::nas
