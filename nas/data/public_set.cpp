// Finds the files of published data sets.
#include "nas/data/public_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <system_error>

#include "engine/error.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

// Each with its size.
std::vector<std::string> missing_files(const PublicSet& set, const fs::path& folder) {
  std::vector<std::string> missing;
  for (const auto& [name, bytes] : set.files) {
    std::error_code ignored;
    if (fs::is_regular_file(folder / name, ignored)) continue;
    missing.push_back(fmt::format("{} ({} bytes)", name, bytes));
  }
  return missing;
}

std::string fetch_command(const PublicSet& set, std::string_view directory) {
  return fmt::format("scripts/get_data.sh {} {}", set.name, directory);
}

// `home` is the directory that the files were expected in, or in its sub-folder.
[[noreturn]] void fail_missing(const PublicSet& set,
                               const fs::path& home,
                               const std::vector<std::string>& missing) {
  std::vector<std::string> archives;
  for (const auto& [name, sha256] : set.archives) {
    archives.push_back(fmt::format("{} (SHA-256 {})", name, sha256));
  }
  const std::string place = quote(home.native(), 400);
  throw DataError(fmt::format("{}: {}: missing {}; expected here{}, from {}; fetch with: {}",
                              set.name,
                              place,
                              fmt::join(missing, ", "),
                              set.folder.empty() ? "" : fmt::format(" or in {}/", set.folder),
                              fmt::join(archives, ", "),
                              fetch_command(set, place)));
}

fs::path find_folder(const PublicSet& set, const fs::path& directory) {
  fs::path home = directory / set.name;  // where most of the files are
  std::vector<std::string> missing = missing_files(set, home);
  for (const fs::path& place : {directory, directory / set.name}) {
    for (const fs::path& folder : {place, place / set.folder}) {
      std::vector<std::string> lacks = missing_files(set, folder);
      if (lacks.empty()) return folder;
      if (lacks.size() < missing.size()) {
        missing = std::move(lacks);
        home = place;
      }
    }
  }
  fail_missing(set, home, missing);
}

}  // namespace

Dataset read_public_set(const PublicSet& set,
                        const fs::path& directory,
                        const std::function<Dataset(const fs::path& folder)>& read) {
  const fs::path folder = find_folder(set, directory);
  try {
    return read(folder);
  } catch (const DataError& e) {
    throw DataError(fmt::format(
        "{}: {}; fetch the files again with: {}", set.name, e.what(), fetch_command(set, "DIR")));
  }
}

}  // namespace oche::nas
