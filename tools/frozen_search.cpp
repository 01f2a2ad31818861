// Opens a search to study it.
#include "tools/frozen_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <stdexcept>
#include <utility>

#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/tensor_file.h"
#include "nas/checkpoint.h"
#include "tools/config_file.h"
#include "tools/data_sets.h"
#include "tools/exit_code.h"
#include "tools/settings.h"

namespace oche::tools {

namespace fs = std::filesystem;

namespace {

void require_finite(const SafetensorsFile& file, const std::string& name, const Tensor& array) {
  if (!all_finite(array))
    throw FormatError(
        fmt::format("{}: array {} holds a value that is not finite", file.source(), quote(name)));
}

// What was read of them; alphas have been when they were read.
void require_finite(const SafetensorsFile& file, nas::SearchState& state) {
  for (const auto& [name, p] : state.network.named_parameters())
    require_finite(file, "w/" + name, p->value);
  for (const auto& [name, tensor] : state.network.named_buffers())
    require_finite(file, "buffer/" + name, tensor);
  const Weights weights = state.network.weights();
  for (size_t i = 0; i < weights.size(); ++i)
    require_finite(file, "momentum/" + weights.name(i), state.sgd.momentum_buffers()[i]);
}

}  // namespace

FrozenSearch FrozenSearch::from_checkpoint(const fs::path& path, const FreezeOptions& options) {
  const SafetensorsFile file = nas::open_checkpoint(path);
  const auto toml = file.metadata().find("config");
  if (toml == file.metadata().end())
    throw FormatError(fmt::format("{}: carries no configuration", file.source()));
  SearchConfig config = resolve(parse_config(toml->second, file.source() + ": config"));
  if (options.dtype) config.dtype = *options.dtype;
  if (!options.data.empty()) config.data_dir = options.data;
  config.fuse = config.fuse && options.fuse;
  FrozenSearch frozen;
  frozen.source_ = path.native();
  frozen.images_ = std::make_unique<nas::Dataset>(
      find_data_set(config.dataset).load(config.data_dir, nas::Part::kTrain));
  frozen.search_ = std::make_unique<nas::Search>(config, *frozen.images_);
  nas::load_checkpoint(*frozen.search_, file);
  frozen.config_ = frozen.search_->stage_config();
  frozen.rate_ = frozen.search_->rate();
  frozen.epoch_ = frozen.search_->progress().epochs;
  frozen.step_ = frozen.search_->progress().steps;
  return frozen;
}

FrozenSearch FrozenSearch::from_state(const fs::path& path, const FreezeOptions& options) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  for (const char* name : {"x_train", "y_train", "x_val", "y_val"}) {
    if (!file.find(name))
      throw FormatError(fmt::format(
          "{}: no array {}; expected a state with its two batches", file.source(), name));
  }
  FrozenSearch frozen;
  frozen.source_ = path.native();
  SearchConfig& c = frozen.config_;
  c.layers = nas::metadata_number<int64_t>(file, "layers");
  c.channels = nas::metadata_number<int64_t>(file, "channels");
  c.dtype = options.dtype.value_or(DType::kFloat64);
  c.fuse = options.fuse;
  const nas::Space space = nas::read_alphas(file).space;
  const auto batch = [&](const std::string& half) {
    const Tensor x = read_tensor(file, "x_" + half, c.dtype);
    const Tensor y = read_tensor(file, "y_" + half, DType::kInt64);
    if (x.shape().size() != 4 || y.shape().size() != 1 || x.size(0) != y.size(0))
      throw FormatError(fmt::format("{}: x_{} and y_{} are no batch; expected (N, C, H, W) and (N)",
                                    file.source(),
                                    half,
                                    half));
    require_finite(file, "x_" + half, x);
    return nas::Batch{contiguous(permute(x, {0, 2, 3, 1})), y};
  };
  frozen.own_ = {batch("train"), batch("val")};
  const auto channels = [](const nas::Batch& b) { return b.images.size(3); };
  if (channels(frozen.own_->train) != channels(frozen.own_->validation))
    throw FormatError(fmt::format("{}: x_train has {} channels, x_val {}; expected as many",
                                  file.source(),
                                  channels(frozen.own_->train),
                                  channels(frozen.own_->validation)));
  c.batch = frozen.own_->train.images.size(0);
  const Tensor classifier_bias = read_tensor(file, "w/classifier.bias", c.dtype);
  for (const auto& [name, labels] : {std::pair("y_train", frozen.own_->train.labels),
                                     std::pair("y_val", frozen.own_->validation.labels)}) {
    for (const int64_t label : labels.to_vector<int64_t>()) {
      if (label < 0 || label >= classifier_bias.numel())
        throw FormatError(fmt::format("{}: {}: label {}; expected one of {} classes",
                                      file.source(),
                                      name,
                                      label,
                                      classifier_bias.numel()));
    }
  }
  try {
    frozen.state_ = std::make_unique<nas::SearchState>(
        c, space, channels(frozen.own_->train), classifier_bias.numel());
  } catch (const std::invalid_argument& e) {
    throw FormatError(fmt::format("{}: {}", file.source(), e.what()));
  }
  nas::load_initial_state(*frozen.state_, file);
  require_finite(file, *frozen.state_);
  frozen.rate_ = c.lr;
  return frozen;
}

std::optional<int64_t> FrozenSearch::most_pairs() const {
  return own_ ? std::optional<int64_t>(1) : std::nullopt;
}

FrozenSearch::Pair FrozenSearch::pair(int64_t k, int64_t size) const {
  if (own_) return *own_;
  auto [train, validation] = search_->study_batches(k, size);
  return {std::move(train), std::move(validation)};
}

std::vector<fs::path> checkpoints_of(const fs::path& path, const std::vector<int64_t>& asked) {
  if (!fs::is_directory(path)) return {path};
  const std::set<int64_t> epochs(asked.begin(), asked.end());
  std::vector<fs::path> chosen;
  std::vector<int64_t> there;
  for (const nas::CheckpointFile& file : nas::list_checkpoints(path / "ckpt", 1)) {
    if (file.epoch == 0) continue;
    there.push_back(file.epoch);
    if (epochs.empty() || epochs.contains(file.epoch)) chosen.push_back(file.path);
  }
  if (there.empty())
    throw UsageError(
        fmt::format("{} has no checkpoint of a complete epoch", quote(path.native(), 4096)));
  if (!epochs.empty() && chosen.size() != epochs.size())
    throw UsageError(fmt::format("--epochs: {} are not all there; {} has checkpoints of {}",
                                 fmt::join(epochs, ","),
                                 quote(path.native(), 4096),
                                 fmt::join(there, ", ")));
  return chosen;
}

}  // namespace oche::tools
