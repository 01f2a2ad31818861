// Looking for cuBLAS and cuDNN.
#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kernels/cuda/libraries.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::cuda::LibraryState;
namespace cuda = kernels::cuda;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
void check_contains(const std::string& text, const std::string& part) {
  CAPTURE(text, part);
  CHECK(contains(text, part));
}

}  // namespace

TEST_CASE("libraries: one that is not there is named with the linker's reason") {
  const LibraryState cublas = cuda::find_cublas({"/nowhere"});
  const LibraryState cudnn = cuda::find_cudnn({"/nowhere", "/nor/there"});
  CHECK(cublas.name == "cuBLAS");
  CHECK(cudnn.name == "cuDNN");
  for (const LibraryState& state : {cublas, cudnn}) {
    CHECK((state.version + state.path).empty());
    if (contains(state.problem, "this build had no header")) continue;
    check_contains(state.problem, "No such file or directory");
  }
  if (!contains(cudnn.problem, "this build had no header")) {
    check_contains(cudnn.problem, "/nowhere/libcudnn.so.");
    check_contains(cudnn.problem, "; /nor/there/libcudnn.so.");
  }
}

TEST_CASE("libraries: one that lacks a function is refused") {
  const LibraryState cublas = cuda::find_cublas({OCHE_INCOMPLETE_LIBRARIES});
  const LibraryState cudnn = cuda::find_cudnn({OCHE_INCOMPLETE_LIBRARIES});
  for (const LibraryState& state : {cublas, cudnn}) {
    CHECK((state.version + state.path).empty());
    if (contains(state.problem, "this build had no header")) continue;
    check_contains(state.problem, OCHE_INCOMPLETE_LIBRARIES "/libcu");
    check_contains(state.problem,
                   state.name == "cuBLAS" ? " has no cublasDestroy_v2" : " has no cudnnDestroy");
  }
  // Nor does it stay in the way of another of its name.
  const std::string path = cudnn.problem.substr(0, cudnn.problem.find(" has no "));
  CHECK(dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr);
}

TEST_CASE("libraries: a file that is no library is refused, and the next place is tried") {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("oche-test-libraries-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / OCHE_INCOMPLETE_CUBLAS) << "no library at all, and longer than a header "
                                                    "of one so that this is what is complained of";
  void* address = nullptr;
  const cuda::Symbol symbols[] = {{"cublasCreate_v2", &address}};
  const auto load = [&](const std::vector<std::string>& directories) {
    return cuda::load_library("cuBLAS", directories, OCHE_INCOMPLETE_CUBLAS, symbols);
  };
  const LibraryState refused = load({folder.string()});
  check_contains(refused.problem, "invalid ELF header");
  CHECK(refused.path.empty());
  CHECK(load({}).problem == "no place to look for " OCHE_INCOMPLETE_CUBLAS);
  const LibraryState found = load({folder.string(), "/nowhere", OCHE_INCOMPLETE_LIBRARIES});
  CHECK(found.problem.empty());
  CHECK(found.path == OCHE_INCOMPLETE_LIBRARIES "/" OCHE_INCOMPLETE_CUBLAS);
  CHECK(address != nullptr);
  std::filesystem::remove_all(folder);
}

#ifndef OCHE_CUDA_HOST
TEST_CASE("libraries: those that are installed have every function") {
  for (const LibraryState& state : {cuda::find_cublas({""}), cuda::find_cudnn({""})}) {
    CAPTURE(state.name, state.problem);
    if (contains(state.problem, "cannot open shared object file") ||
        contains(state.problem, "this build had no header")) {
      WARN("not installed");
      continue;
    }
    CHECK(state.problem.empty());
    check_contains(state.path, "/libcu");
    check_contains(state.version, ".");
  }
}
#endif

}  // namespace oche
