// dlopen, with reasons.
#include "kernels/cuda/shared_library.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>

namespace oche::kernels::cuda {
namespace {

std::string loader_error() {
  const char* text = dlerror();
  return text ? text : "unknown error of the dynamic linker";
}

std::string path_of(void* library, const std::string& asked) {
  const link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map->l_name || !*map->l_name) return asked;
  return map->l_name;
}

// The first symbol that `library` lacks; all addresses are set if there is none.
const Symbol* find_symbols(void* library, std::span<const Symbol> symbols) {
  for (const Symbol& symbol : symbols) {
    *symbol.address = dlsym(library, symbol.name);
    if (!*symbol.address) return &symbol;
  }
  return nullptr;
}

}  // namespace

LibraryState load_library(const std::string& name,
                          const std::vector<std::string>& directories,
                          const std::string& file,
                          std::span<const Symbol> symbols) {
  LibraryState state{.name = name};
  std::vector<std::string> problems;
  for (const std::string& directory : directories) {
    std::string place = directory;
    if (!place.empty()) place += '/';
    place += file;
    std::string problem;
    if (void* const library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      const Symbol* const missing = find_symbols(library, symbols);
      state.path = path_of(library, place);
      if (!missing) return state;
      problem = state.path + " has no " + missing->name;
      state.path.clear();
      dlclose(library);
    } else {
      problem = loader_error();
    }
    if (std::ranges::find(problems, problem) == problems.end()) problems.push_back(problem);
  }
  for (const std::string& problem : problems) {
    if (!state.problem.empty()) state.problem += "; ";
    state.problem += problem;
  }
  if (state.problem.empty()) state.problem = "no place to look for " + file;
  return state;
}

}  // namespace oche::kernels::cuda
