// What a result depends on besides its configuration: processor, compiler, libraries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oche::nas {

// A JSON document, schema 1, that says nothing about whose machine it is: device, CPU model and
// instruction sets, threads, versions of this program, its compiler and its libraries, the seed and
// the SHA-256 of the merged configuration.
std::string environment_json(const std::string& config_toml, uint64_t seed);

// The keys in which two such documents differ, of those that results may depend on: not in threads.
std::vector<std::string> environment_changes(const std::string& before, const std::string& after);

}  // namespace oche::nas
