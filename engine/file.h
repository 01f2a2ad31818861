// Whole files: read with a limit, written so that a reader sees the old file or the new one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oche {

// The bytes of a file or pipe. Throws IoError, or FormatError when there are more than max_bytes.
std::string read_file(const std::filesystem::path& path,
                      size_t max_bytes = std::numeric_limits<size_t>::max());

// Replaces path by a file with these bytes: a temporary in the same directory, write, fsync,
// rename, fsync of the directory. On failure throws IoError; the temporary is gone and the old file
// as it was, except when only the last fsync failed: then the new file is in place, complete.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Adds text at the end of path, which comes into being where it is missing, and syncs it. A crash
// may cut the text short.
void append_to_file(const std::filesystem::path& path, std::string_view text);

// The lines of a text that grows so, without their LF or CR LF. A last line without an end is left
// out: it is being written, or its writer was killed.
std::vector<std::string_view> whole_lines(std::string_view text);

// The entries of a directory, in no order; none where it is missing.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& directory);

void remove_file(const std::filesystem::path& path);  // if it is there

// Removes what writers that were killed left in directory; returns how many files that were. Call
// it only where no other process writes. A missing directory holds none.
int sweep_temporaries(const std::filesystem::path& directory);

}  // namespace oche
