// Where the source tree is, for fixtures.
#pragma once

#include <cstdlib>
#include <string>

namespace oche {

// A file of tests/data; OCHE_SOURCE_DIR in the environment says where the tree went, if the build
// ran elsewhere.
inline std::string test_data(const std::string& name) {
  const char* moved = std::getenv("OCHE_SOURCE_DIR");
  return (moved ? std::string(moved) : OCHE_SOURCE_DIR) + "/tests/data/" + name;
}

}  // namespace oche
