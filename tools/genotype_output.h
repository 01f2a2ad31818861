// Genotypes on stdout.
#pragma once

#include <string>

#include "nas/genotype.h"

namespace oche::tools {

// The text of the DARTS tools where the genotype has one, else JSON; without a last newline.
inline std::string text_or_json(const nas::Genotype& genotype) {
  if (nas::has_text(genotype)) return nas::to_text(genotype);
  std::string json = nas::to_json(genotype);
  json.erase(json.find_last_not_of('\n') + 1);
  return json;
}

}  // namespace oche::tools
