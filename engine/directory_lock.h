// A directory that one process has to itself.
#pragma once

#include <filesystem>

namespace oche {

// Keeps other locks of this kind off a directory, for as long as it lives or until the process
// ends, however it does. Other writers are not kept off, and nothing is left on disk.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::filesystem::path& directory);  // throws IoError
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  // False iff another has it. File systems without locks count as free.
  bool held() const { return held_; }

 private:
  int fd_;
  bool held_;
};

}  // namespace oche
