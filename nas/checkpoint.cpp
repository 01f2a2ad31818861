// Checkpoints, weight files, and starting states.
#include "nas/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/json.h"
#include "engine/tensor_file.h"

namespace oche::nas {
namespace {

constexpr std::string_view kSchema = "1";
constexpr std::string_view kCellTypes[] = {"normal", "reduce"};  // the order of ArchParameters
// How alphas and the betas of their edges are called, in files of ours and in others.
struct Prefixes {
  std::string_view alpha, beta;
};
constexpr Prefixes kPrefixes[] = {{"alpha/", "beta/"}, {"alphas_", "betas_"}};

constexpr std::string_view kCheckpointKind = "oche-checkpoint";

void describe(SafetensorsWriter& writer, std::string_view kind, Search& search) {
  const SearchConfig& c = search.stage_config();
  writer.set_metadata("kind", std::string(kind));
  writer.set_metadata("schema", std::string(kSchema));
  for (const auto& [key, value] : {std::pair{"layers", c.layers},
                                   {"channels", c.channels},
                                   {"steps", c.steps},
                                   {"multiplier", c.multiplier},
                                   {"stem_multiplier", c.stem_multiplier}}) {
    writer.set_metadata(key, fmt::to_string(value));
  }
  writer.set_metadata("space", to_json(search.state().space));
  writer.set_metadata("relaxation", c.relaxation);
  writer.set_metadata("decision", c.decision);
  writer.set_metadata("threshold", fmt::to_string(c.threshold));
  writer.set_metadata("skips", fmt::to_string(c.skips));
  const Genotype genotype = search.genotype();
  if (has_text(genotype)) writer.set_metadata("genotype", to_text(genotype));
}

// What our writers left in a file must be whole. Either key tells, so that damage to one of them
// shows; files of others have neither.
void check_ours(const SafetensorsFile& file) {
  const auto& metadata = file.metadata();
  const auto kind = metadata.find("kind");
  const bool ours = kind != metadata.end() && kind->second.starts_with("oche-");
  if (!ours && !metadata.contains("sha256")) return;
  verify_checksum(file);
  const auto schema = metadata.find("schema");
  if (ours && (schema == metadata.end() || schema->second != kSchema)) {
    throw FormatError(fmt::format("{}: schema {}; expected '{}'",
                                  file.source(),
                                  schema == metadata.end() ? "is missing" : quote(schema->second),
                                  kSchema));
  }
}

bool holds(const SafetensorsFile& file, std::string_view prefix) {
  return std::ranges::any_of(file.entries(),
                             [&](const auto& entry) { return entry.name.starts_with(prefix); });
}

// How the names of the alphas begin, if the file has any.
std::optional<Prefixes> alpha_prefixes(const SafetensorsFile& file) {
  for (const Prefixes& prefixes : kPrefixes) {
    for (const std::string_view type : kCellTypes) {
      if (file.find(std::string(prefixes.alpha).append(type))) return prefixes;
    }
  }
  return std::nullopt;
}

std::optional<int64_t> steps_for(int64_t edges) {
  int64_t steps = 1;
  while (edge_count(steps) < edges && steps < kMaxGenotypeNodes) ++steps;
  return edge_count(steps) == edges ? std::optional(steps) : std::nullopt;
}

// That of DARTS, with the steps that the rows of the array make.
Space darts_space(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.at(name);
  const auto candidates = static_cast<int64_t>(darts_primitives().size());
  const std::optional<int64_t> steps =
      entry.shape.size() == 2 ? steps_for(entry.shape[0]) : std::nullopt;
  if (!steps || entry.shape[1] != candidates) {
    throw FormatError(fmt::format(
        "{}: array {} has shape {}; expected (edges, {}) with the 2, 5, 9, 14, ... edges of a cell",
        file.source(),
        quote(name),
        to_string(entry.shape),
        candidates));
  }
  return make_space("darts-cnn", *steps);
}

Tensor read_alpha(const SafetensorsFile& file, const std::string& name, const Shape& shape) {
  const SafetensorsEntry& entry = file.at(name);
  if (entry.shape != shape) {
    throw FormatError(fmt::format("{}: array {} has shape {}; expected {}",
                                  file.source(),
                                  quote(name),
                                  to_string(entry.shape),
                                  to_string(shape)));
  }
  const DType dtype = entry.dtype == FileDtype::kF64 ? DType::kFloat64 : DType::kFloat32;
  const Tensor alpha = read_tensor(file, name, dtype);
  if (!all_finite(alpha)) {
    throw FormatError(
        fmt::format("{}: array {} holds a value that is not finite", file.source(), quote(name)));
  }
  return alpha;
}

// Every array under the prefix must be one that the network has. Bare names are all those without
// a slash; alphas may stand among them.
void check_known(const SafetensorsFile& file, const std::string& prefix, Network& network) {
  std::set<std::string> known;
  for (const auto& [name, parameter] : network.named_parameters()) known.insert(prefix + name);
  if (prefix.empty()) {
    for (const auto& [name, tensor] : network.named_buffers()) known.insert(name);
    for (const std::string_view type : kCellTypes) {
      known.insert(std::string("alphas_").append(type));
      known.insert(std::string("betas_").append(type));
    }
  }
  for (const SafetensorsEntry& entry : file.entries()) {
    const bool meant =
        prefix.empty() ? entry.name.find('/') == std::string::npos : entry.name.starts_with(prefix);
    if (meant && !known.contains(entry.name)) {
      throw FormatError(
          fmt::format("{}: array {} is not part of this network; do layers, channels "
                      "and steps agree?",
                      file.source(),
                      quote(entry.name)));
    }
  }
}

void read_momentum(const Sgd& sgd, const Weights& weights, const SafetensorsFile& file) {
  for (size_t i = 0; i < weights.size(); ++i) {
    read_into(sgd.momentum_buffers()[i], file, "momentum/" + weights.name(i), weights[i].layout);
  }
}

// Every array that a checkpoint holds, with the tensor that it is written from and read into.
struct StateTensor {
  std::string name;
  Tensor tensor;
  Layout layout = Layout::kPlain;
};
std::vector<StateTensor> tensors_of(SearchState& state) {
  std::vector<StateTensor> tensors;
  for (const auto& [name, p] : state.network.named_parameters()) {
    tensors.push_back({"w/" + name, p->value, p->layout});
  }
  for (const auto& [name, tensor] : state.network.named_buffers()) {
    tensors.push_back({"buffer/" + name, tensor});
  }
  const Weights weights = state.network.weights();
  for (size_t i = 0; i < weights.size(); ++i) {
    tensors.push_back(
        {"momentum/" + weights.name(i), state.sgd.momentum_buffers()[i], weights[i].layout});
  }
  const Alphas alphas = state.arch.alphas();
  for (size_t i = 0; i < alphas.size(); ++i) {
    // "alphas_normal" is alpha/normal, with adam_m/normal; "betas_normal" beta/normal,
    // adam_m/beta_normal.
    const std::string& name = alphas.name(i);
    const size_t bar = name.find('_');
    const std::string kind = name.substr(0, bar - 1), type = name.substr(bar + 1);
    const std::string moment = kind == "alpha" ? type : kind + "_" + type;
    tensors.push_back({kind + "/" + type, alphas[i].value});
    tensors.push_back({"adam_m/" + moment, state.adam.first_moments()[i]});
    tensors.push_back({"adam_v/" + moment, state.adam.second_moments()[i]});
  }
  return tensors;
}

}  // namespace

template <typename T>
T metadata_number(const SafetensorsFile& file, const std::string& key) {
  const auto entry = file.metadata().find(key);
  const std::string_view text =
      entry == file.metadata().end() ? std::string_view() : std::string_view(entry->second);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw FormatError(
        fmt::format("{}: metadata {}: {} is no number", file.source(), key, quote(text)));
  }
  return value;
}
template int64_t metadata_number(const SafetensorsFile&, const std::string&);
template double metadata_number(const SafetensorsFile&, const std::string&);

void save_checkpoint(const std::filesystem::path& path,
                     Search& search,
                     const std::string& config_toml) {
  SafetensorsWriter writer;
  describe(writer, kCheckpointKind, search);
  writer.set_metadata("config", config_toml);
  writer.set_metadata("seed", fmt::to_string(search.config().seed));
  const SearchProgress& p = search.progress();
  writer.set_metadata("stage", fmt::to_string(search.stage()));
  writer.set_metadata("epoch", fmt::to_string(p.epochs));
  writer.set_metadata("step", fmt::to_string(p.steps));
  writer.set_metadata("train_loss_sum", fmt::to_string(p.train_loss));
  writer.set_metadata("search_loss_sum", fmt::to_string(p.validation_loss));
  writer.set_metadata("seconds", fmt::to_string(p.seconds));
  writer.set_metadata("peak_bytes", fmt::to_string(p.peak_bytes));
  writer.set_metadata("stop_state", search.stopped().stop->state().dump());
  if (search.stopped().ending)
    writer.set_metadata("ending", to_json(*search.stopped().ending).dump());
  writer.set_metadata("adam_step", fmt::to_string(search.state().adam.steps()));
  for (const auto& [name, tensor, layout] : tensors_of(search.state())) {
    add_tensor(writer, name, tensor, layout);
  }
  writer.write(path, Checksum::kSha256);
}

void verify_checkpoint(const SafetensorsFile& file) {
  check_ours(file);
  const auto kind = file.metadata().find("kind");
  if (kind == file.metadata().end() || kind->second != kCheckpointKind) {
    throw FormatError(fmt::format("{}: no checkpoint of a search", file.source()));
  }
}

SafetensorsFile open_checkpoint(const std::filesystem::path& path) {
  SafetensorsFile file = SafetensorsFile::open(path);
  verify_checkpoint(file);
  return file;
}

namespace {

// A checkpoint of before there were stages is of the first.
void restore_stage(Search& search, const SafetensorsFile& file) {
  if (!file.metadata().contains("stage")) return;
  const auto stage = metadata_number<int64_t>(file, "stage");
  if (stage == search.stage()) return;
  try {
    search.begin_stage(stage, read_alphas(file).space);
  } catch (const std::invalid_argument& e) {
    throw FormatError(fmt::format("{}: {}", file.source(), e.what()));
  }
}

// A checkpoint of before there were stops has nothing of them.
void restore_stop(Search::Stopped& stopped, const SafetensorsFile& file) {
  const auto read = [&](const char* key, const auto& take) {
    const auto entry = file.metadata().find(key);
    const std::string source = fmt::format("{}: metadata {}", file.source(), key);
    if (entry != file.metadata().end()) take(parse_json(entry->second, source), source);
  };
  read("stop_state",
       [&](const nlohmann::json& state, const std::string&) { stopped.stop->restore(state); });
  stopped.ending.reset();
  read("ending", [&](const nlohmann::json& ending, const std::string& source) {
    stopped.ending = read_ending(ending, source);
  });
}

}  // namespace

void load_checkpoint(Search& search, const SafetensorsFile& file) {
  restore_stage(search, file);
  restore_stop(search.stopped(), file);
  const std::vector<StateTensor> tensors = tensors_of(search.state());
  for (const auto& [name, tensor, layout] : tensors) read_into(tensor, file, name, layout);
  if (tensors.size() != file.entries().size()) {
    throw FormatError(fmt::format("{}: {} arrays; expected {}, those of this network",
                                  file.source(),
                                  file.entries().size(),
                                  tensors.size()));
  }
  search.state().adam.set_steps(metadata_number<int64_t>(file, "adam_step"));
  const SearchProgress progress{.epochs = metadata_number<int64_t>(file, "epoch"),
                                .steps = metadata_number<int64_t>(file, "step"),
                                .train_loss = metadata_number<double>(file, "train_loss_sum"),
                                .validation_loss = metadata_number<double>(file, "search_loss_sum"),
                                .seconds = metadata_number<double>(file, "seconds"),
                                .peak_bytes = metadata_number<int64_t>(file, "peak_bytes")};
  try {
    search.continue_from(progress);
  } catch (const std::invalid_argument& e) {
    throw FormatError(fmt::format("{}: {}; is the data set the same?", file.source(), e.what()));
  }
}

void save_weights(const std::filesystem::path& path, Search& search) {
  SafetensorsWriter writer;
  describe(writer, "oche-weights", search);
  add_parameters(writer, search.state().network.named_parameters(), "");
  add_buffers(writer, search.state().network.named_buffers(), "");
  writer.write(path, Checksum::kSha256);
}

SavedAlphas read_alphas(const SafetensorsFile& file) {
  check_ours(file);
  const std::optional<Prefixes> prefixes = alpha_prefixes(file);
  if (!prefixes) {
    const auto gradient = std::ranges::find_if(file.entries(), [](const SafetensorsEntry& entry) {
      return entry.name.ends_with("/alphas_normal") || entry.name.ends_with("/alphas_reduce");
    });
    throw FormatError(fmt::format(
        "{}: {}; expected alpha/normal and alpha/reduce, or alphas_normal and alphas_reduce",
        file.source(),
        gradient == file.entries().end()
            ? "no alphas"
            : fmt::format("holds gradients of alphas ({}), no alphas", quote(gradient->name))));
  }
  const auto named = [](std::string_view prefix, std::string_view type) {
    return std::string(prefix).append(type);
  };
  const auto space = file.metadata().find("space");
  SavedAlphas saved{{},
                    space == file.metadata().end()
                        ? darts_space(file, named(prefixes->alpha, "normal"))
                        : parse_space(space->second, file.source() + ": metadata space")};
  const auto read = [&](std::string_view type, const CellSpace& cell, Tensor& alpha, Tensor& beta) {
    if (cell.rows() == 0) return;
    alpha = read_alpha(file, named(prefixes->alpha, type), {cell.rows(), cell.columns()});
    const std::string name = named(prefixes->beta, type);
    if (file.find(name)) beta = read_alpha(file, name, {cell.rows()});
  };
  read("normal", saved.space.normal, saved.tables.normal, saved.tables.normal_edges);
  read("reduce", saved.space.reduce, saved.tables.reduce, saved.tables.reduce_edges);
  return saved;
}

void load_initial_state(SearchState& state, const SafetensorsFile& file) {
  check_ours(file);
  const bool bare = !holds(file, "w/");
  const std::string prefix = bare ? "" : "w/", buffer_prefix = bare ? "" : "buffer/";
  check_known(file, prefix, state.network);
  read_parameters(state.network.named_parameters(), file, prefix);

  const std::vector<NamedBuffer> buffers = state.network.named_buffers();
  const bool has_buffers = std::ranges::any_of(
      buffers, [&](const NamedBuffer& b) { return file.find(buffer_prefix + b.name); });
  if (has_buffers) read_buffers(buffers, file, buffer_prefix);
  if (holds(file, "momentum/")) read_momentum(state.sgd, state.network.weights(), file);
  if (const std::optional<Prefixes> prefixes = alpha_prefixes(file)) {
    const Alphas alphas = state.arch.alphas();
    for (size_t i = 0; i < alphas.size(); ++i) {
      const bool edges = alphas.name(i).starts_with("betas");
      const std::string type = alphas.name(i).substr(alphas.name(i).find('_') + 1);
      const std::string name = std::string(edges ? prefixes->beta : prefixes->alpha) + type;
      if (!edges || file.find(name)) read_into(alphas[i].value, file, name);
    }
  }
}

}  // namespace oche::nas
