// What the operating system says of this process.
#pragma once

#include <cstdint>

namespace oche {

// The most memory that the process has held at once so far, bytes.
int64_t peak_resident_bytes();

}  // namespace oche
