// Genotypes on stdout, and what is to be said of them.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "nas/genotype.h"
#include "nas/space.h"
#include "tools/console.h"
#include "tools/json_output.h"

namespace oche::tools {

// The text of the DARTS tools where the genotype has one, else JSON; without a last newline.
inline std::string text_or_json(const nas::Genotype& genotype) {
  if (nas::has_text(genotype)) return nas::to_text(genotype);
  std::string json = nas::to_json(genotype);
  json.erase(json.find_last_not_of('\n') + 1);
  return json;
}

// Members "genotype" and, where there is one, "genotype_text".
inline void add_genotype(Json& document, const nas::Genotype& genotype) {
  document["genotype"] = Json::parse(nas::to_json(genotype));
  if (nas::has_text(genotype)) document["genotype_text"] = nas::to_text(genotype);
}

// A decision may leave nothing of a cell.
inline void report_empty_cells(const nas::Genotype& genotype, Console& console) {
  for (const auto& [name, cell] :
       {std::pair("normal", &genotype.normal), {"reduce", &genotype.reduce}}) {
    if (nas::is_connected(*cell)) continue;
    if (cell == &genotype.reduce && nas::has_fixed_reduction(genotype.space)) continue;
    console.error(
        fmt::format("the {} cell is empty: the decision left no way from its inputs to its output; "
                    "`oche derive --decision NAME` decides otherwise",
                    name));
  }
}

}  // namespace oche::tools
