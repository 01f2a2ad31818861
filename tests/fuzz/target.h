// What the fuzz targets share: when an input counts as read, what a refusal has to look like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// Defined once by each target. Called with arbitrary bytes, it must return, and leak nothing.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace oche::fuzz {

// True iff the last input was accepted; replay.cpp holds the seeds' names against it.
inline bool accepted = false;

// Ends the process, which is how a fuzzer learns of a fault, unless the invariant holds.
void require(bool holds, std::string_view what);

// A refusal is one line that fits a terminal, whatever the input put into it.
void check_message(std::string_view message);

// Runs `call`; returns, and notes, whether it came to its end. An Error is a refusal; other
// exceptions pass through and end the process.
template <typename Error, typename Call>
bool accepts(Call call) {
  accepted = false;
  try {
    call();
    accepted = true;
  } catch (const Error& error) {
    check_message(error.what());
  }
  return accepted;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace oche::fuzz
