// A file without a disk, for parsers that take a path.
#pragma once

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "tests/fuzz/target.h"

namespace oche::fuzz {

class MemoryFile {
 public:
  explicit MemoryFile(std::string_view contents) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    require(fd_ >= 0, "a file in memory can be made");
    while (!contents.empty()) {
      const ssize_t count = ::write(fd_, contents.data(), contents.size());
      require(count > 0, "a file in memory can be filled");
      contents.remove_prefix(static_cast<size_t>(count));
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

}  // namespace oche::fuzz
