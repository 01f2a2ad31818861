// Genotypes from papers, by the names under which tools know them.
#pragma once

#include <span>
#include <string_view>

#include "nas/genotype.h"

namespace oche::nas {

struct PublishedGenotype {
  std::string_view name;
  std::string_view paper;  // arXiv:<id>
  Genotype genotype;
};

std::span<const PublishedGenotype> published_genotypes();

// nullptr iff the name is unknown. Case does not matter, nor - for _.
const Genotype* find_published(std::string_view name);

}  // namespace oche::nas
