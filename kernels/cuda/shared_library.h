// Libraries that are looked for while the program runs, so that it starts without them.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace oche::kernels::cuda {

// What came of looking for a library.
struct LibraryState {
  std::string name;          // "cuBLAS"
  std::string version = {};  // "13.1.0"
  std::string path = {};     // of the file that was loaded
  std::string problem = {};  // why it is not in use; empty iff it is, and iff the other two are not
};

// A function to look up, and the pointer that takes its address.
struct Symbol {
  const char* name;
  void** address;
};

// Loads `file` from the first of `directories` where it is and has all symbols, never to be
// unloaded; an empty directory stands for the places where the dynamic linker looks. Says where it
// found it, or in `problem` what hindered it in each place; the version is the caller's to fill in.
LibraryState load_library(const std::string& name,
                          const std::vector<std::string>& directories,
                          const std::string& file,
                          std::span<const Symbol> symbols);

}  // namespace oche::kernels::cuda
