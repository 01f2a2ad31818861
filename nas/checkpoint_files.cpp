// Names, order and choice of checkpoints.
#include "nas/checkpoint_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <tuple>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/checkpoint.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEpoch = "epoch-", kStep = "step-", kSuffix = ".safetensors";

// The N of a name KIND-N.safetensors.
std::optional<int64_t> number_in(std::string_view name, std::string_view kind) {
  if (!name.starts_with(kind) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kind.size());
  name.remove_suffix(kSuffix.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool is_number = error == std::errc() && end == name.data() + name.size() && number >= 0;
  return is_number ? std::optional(number) : std::nullopt;
}

}  // namespace

std::string epoch_checkpoint_name(int64_t epoch) {
  return fmt::format("{}{:04}{}", kEpoch, epoch, kSuffix);
}

std::string step_checkpoint_name(int64_t step) {
  return fmt::format("{}{:08}{}", kStep, step, kSuffix);
}

std::vector<CheckpointFile> list_checkpoints(const fs::path& directory, int64_t steps_per_epoch) {
  std::vector<CheckpointFile> found;
  for (const fs::path& path : entries_of(directory)) {
    const std::string name = path.filename().native();
    if (const auto epoch = number_in(name, kEpoch)) {
      int64_t step = 0;
      if (__builtin_mul_overflow(*epoch, steps_per_epoch, &step)) continue;  // of no run
      found.push_back({path, *epoch, step});
    } else if (const auto step = number_in(name, kStep)) {
      found.push_back({path, 0, *step});
    }
  }
  // The last step of an epoch comes before the epoch.
  std::ranges::sort(found, {}, [](const CheckpointFile& f) { return std::tuple(f.step, f.epoch); });
  return found;
}

bool is_kept(int64_t epoch, int64_t epochs, int64_t keep_every) {
  if (keep_every > 0) return epoch % keep_every == 0;
  return epoch == 1 || epoch == (epochs + 1) / 2 || epoch == epochs;
}

SafetensorsFile open_newest(const std::vector<CheckpointFile>& files,
                            const std::function<void(const std::string&)>& tell) {
  for (auto file = files.rbegin();; ++file) {
    const auto next = std::next(file);
    const auto pass_over = [&](const std::exception& e) {
      if (next == files.rend()) throw;
      tell(fmt::format("{}; falling back to {}", e.what(), next->path.native()));
    };
    try {
      return open_checkpoint(file->path);
    } catch (const FormatError& e) {
      pass_over(e);
    } catch (const IoError& e) {
      pass_over(e);
    }
  }
}

}  // namespace oche::nas
