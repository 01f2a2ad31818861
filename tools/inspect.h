// What `oche inspect` prints, one function for each kind of thing, as text or as JSON on stdout.
#pragma once

#include <filesystem>
#include <string>

#include "engine/safetensors.h"
#include "nas/genotype.h"

namespace oche::tools {

void inspect_run(const std::filesystem::path& directory, bool as_json);
void inspect_comparison(const std::filesystem::path& first,
                        const std::filesystem::path& second,
                        bool as_json);
void inspect_genotype(const nas::Genotype& genotype, const std::string& name, bool as_json);
// Any safetensors file, a checkpoint or weights of ours among them. Throws FormatError where its
// checksum is wrong.
void inspect_arrays(const SafetensorsFile& file, bool as_json);

}  // namespace oche::tools
