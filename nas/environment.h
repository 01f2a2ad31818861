// What a result depends on besides its configuration: processor, compiler, libraries.
#pragma once

#include <cstdint>
#include <string>

namespace oche::nas {

// A JSON document, schema 1, that says nothing about whose machine it is: device, CPU model and
// instruction sets, threads, versions of this program, its compiler and its libraries, the seed and
// the SHA-256 of the merged configuration.
std::string environment_json(const std::string& config_toml, uint64_t seed);

}  // namespace oche::nas
