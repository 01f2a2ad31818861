// Looking for cuDNN.
#include "kernels/cuda/libraries.h"

#ifdef OCHE_HAVE_CUDNN
#include "kernels/cuda/cudnn_api.h"
#include "kernels/cuda/library_support.h"

namespace oche::kernels::cuda {
namespace {

LibraryState load(const std::vector<std::string>& directories, CudnnApi& api) {
  const Symbol symbols[] = {
#define OCHE_LOOK_UP(function) {#function, reinterpret_cast<void**>(&api.function)},
      OCHE_CUDNN_FUNCTIONS(OCHE_LOOK_UP)
#undef OCHE_LOOK_UP
  };
  LibraryState state =
      load_library("cuDNN", directories, "libcudnn.so." + std::to_string(CUDNN_MAJOR), symbols);
  if (!state.problem.empty()) return state;
  const size_t version = api.cudnnGetVersion();  // as CUDNN_VERSION
  state.version = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
                  "." + std::to_string(version % 100);
  return state;
}

struct Loaded {
  CudnnApi api{};
  LibraryState state = load(library_places(), api);
};
const Loaded& loaded() {
  static const Loaded of_this_process;
  return of_this_process;
}
}  // namespace

const CudnnApi& cudnn() {
  return loaded().api;
}

void fail(cudnnStatus_t code, const char* call, const char* file, int line) {
  const char* const name = cudnn().cudnnGetErrorString(code);  // has no other description
  fail_library(call, file, line, name, ("code " + std::to_string(code)).c_str());
}

const LibraryState& cudnn_state() {
  return loaded().state;
}

LibraryState find_cudnn(const std::vector<std::string>& directories) {
  CudnnApi unused;
  return load(directories, unused);
}

}  // namespace oche::kernels::cuda

#else

namespace oche::kernels::cuda {

const LibraryState& cudnn_state() {
  static const LibraryState state = find_cudnn({});
  return state;
}

LibraryState find_cudnn(const std::vector<std::string>&) {
  return {.name = "cuDNN", .problem = "this build had no header of it (cudnn.h)"};
}

}  // namespace oche::kernels::cuda

#endif
