// What --profile shows: a table, the same as JSON, and a timeline for trace viewers.
#pragma once

#include <filesystem>
#include <string>

#include "engine/profile.h"
#include "tools/json_output.h"

namespace oche::tools {

// Op by op, the longest first; below them what fell outside of ops.
std::string profile_table(const Profiler& profiler);
Json profile_json(const Profiler& profiler);

// The calls that were kept, in the Trace Event Format (Chromium): complete events, and the bytes
// that tensors hold as a counter.
void write_trace(const Profiler& profiler, const std::filesystem::path& path);

}  // namespace oche::tools
