// Published data sets: their files, where they are looked for, and how to fetch what is missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::nas {

struct PublicSet {
  struct File {
    std::string name;
    int64_t bytes;
  };
  struct Archive {
    std::string name, sha256;
  };

  std::string name;    // as on the command line and for scripts/get_data.sh
  std::string folder;  // in which the archive has the files; may be empty
  std::vector<File> files;
  std::vector<Archive> archives;
};

// Calls read(folder) with the folder that holds all files: `directory`, its sub-folder of the set's
// name (where scripts/get_data.sh puts them), or the archive's folder in either. Throws DataError
// saying what is missing and how to fetch it; those of read() get the name of the set and the same
// advice.
Dataset read_public_set(const PublicSet& set,
                        const std::filesystem::path& directory,
                        const std::function<Dataset(const std::filesystem::path& folder)>& read);

}  // namespace oche::nas
