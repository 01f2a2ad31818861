// Reading and atomic writing of files over the POSIX calls.
#include "engine/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "engine/error.h"

namespace oche {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporarySuffix = ".oche-tmp";

template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// An open file. Its members make the system calls, one each; rename and unlink are Temporary's.
class Descriptor {
 public:
  Descriptor(fs::path path, int flags, std::string_view action) : path_(std::move(path)) {
    fd_ = retried([&] { return ::open(path_.c_str(), flags | O_CLOEXEC, 0666); });
    if (fd_ < 0) throw IoError(action, path_, errno);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  // Bytes that the file claims to have; 0 for pipes and devices.
  size_t size_hint() const {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) throw IoError("examine", path_, errno);
    return S_ISREG(status.st_mode) ? static_cast<size_t>(status.st_size) : 0;
  }

  // Returns the bytes read, 0 at the end of the file.
  size_t read(char* to, size_t capacity) const {
    const ssize_t count = retried([&] { return ::read(fd_, to, capacity); });
    if (count < 0) throw IoError("read", path_, errno);
    return static_cast<size_t>(count);
  }

  void write_all(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = retried([&] { return ::write(fd_, bytes.data(), bytes.size()); });
      if (count < 0) throw IoError("write", path_, errno);
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }

  void sync() const {
    if (retried([&] { return ::fsync(fd_); }) != 0) throw IoError("sync", path_, errno);
  }

  // Some network file systems cannot sync a directory and say EINVAL.
  void sync_directory() const {
    if (retried([&] { return ::fsync(fd_); }) != 0 && errno != EINVAL) {
      throw IoError("sync the directory", path_, errno);
    }
  }

  // On Linux the descriptor is gone even when close reports an interruption: never closed twice.
  void close() {
    if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) {
      throw IoError("close", path_, errno);
    }
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  int fd_ = -1;
};

// A new file beside target that is removed unless it has taken target's place.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) : file_(open_beside(target)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!placed_) ::unlink(file_.path().c_str());
  }

  void fill(std::span<const std::byte> bytes) {
    file_.write_all(bytes);
    file_.sync();
    file_.close();
  }

  void replace(const fs::path& target) {
    if (::rename(file_.path().c_str(), target.c_str()) != 0)
      throw IoError("replace", target, errno);
    placed_ = true;
  }

 private:
  // The process id can come back after a crash (always, in a container): a name in use is skipped.
  static Descriptor open_beside(const fs::path& target) {
    for (int attempt = 0;; ++attempt) {
      fs::path name = target;
      name += fmt::format(".{}-{}{}", ::getpid(), attempt, kTemporarySuffix);
      try {
        return Descriptor(std::move(name), O_WRONLY | O_CREAT | O_EXCL, "create");
      } catch (const IoError& error) {
        if (error.code() != std::errc::file_exists) throw;
      }
    }
  }

  Descriptor file_;
  bool placed_ = false;  // true iff the file now bears the target's name
};

}  // namespace

std::string read_file(const fs::path& path, size_t max_bytes) {
  const Descriptor file(path, O_RDONLY, "open");
  std::string bytes;
  size_t size = 0;
  // One byte more than the file claims, so that the end shows without growing.
  size_t room = std::min(file.size_hint(), max_bytes) + 1;
  for (;;) {
    bytes.resize(room);
    const size_t count = file.read(bytes.data() + size, room - size);
    size += count;
    if (size > max_bytes) {
      throw FormatError(
          fmt::format("{}: more than the {} bytes accepted here", path.native(), max_bytes));
    }
    if (count == 0) break;
    if (size == room) room = std::max(2 * room, size_t{1} << 16);
  }
  bytes.resize(size);
  return bytes;
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  const fs::path parent = path.parent_path();
  const Descriptor directory(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY, "open");
  Temporary temporary(path);
  temporary.fill(bytes);
  temporary.replace(path);
  directory.sync_directory();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void append_to_file(const fs::path& path, std::string_view text) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND, "open");
  file.write_all(std::as_bytes(std::span(text)));
  file.sync();
  file.close();
}

std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) {
    const bool carriage_return = end > 0 && text[end - 1] == '\r';
    lines.push_back(text.substr(0, end - (carriage_return ? 1 : 0)));
  }
  return lines;
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    paths.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw IoError("list the directory", directory, error.value());
  }
  return paths;
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) throw IoError("remove", path, error.value());
}

int sweep_temporaries(const fs::path& directory) {
  int swept = 0;
  for (const fs::path& path : entries_of(directory)) {
    if (!path.native().ends_with(kTemporarySuffix)) continue;
    remove_file(path);
    ++swept;
  }
  return swept;
}

}  // namespace oche
