// Matrix products by cuBLAS. It is never linked: its functions are looked up by name, and have the
// signatures of its header.
#include "kernels/cuda/libraries.h"

#ifdef OCHE_HAVE_CUBLAS
#include <cublas_v2.h>

#include <algorithm>

#include "kernels/cuda/library_support.h"

namespace oche::kernels::cuda {
namespace {

#define OCHE_CUBLAS_FUNCTIONS(F) \
  F(cublasCreate_v2)             \
  F(cublasDestroy_v2)            \
  F(cublasSetStream_v2)          \
  F(cublasSetWorkspace_v2)       \
  F(cublasSetMathMode)           \
  F(cublasSgemm_v2_64)           \
  F(cublasDgemm_v2_64)           \
  F(cublasGetProperty)           \
  F(cublasGetStatusName)         \
  F(cublasGetStatusString)

struct Api {
#define OCHE_DECLARE(function) decltype(&::function) function;  // NOLINT: a name
  OCHE_CUBLAS_FUNCTIONS(OCHE_DECLARE)
#undef OCHE_DECLARE
};

LibraryState load(const std::vector<std::string>& directories, Api& api) {
  const Symbol symbols[] = {
#define OCHE_LOOK_UP(function) {#function, reinterpret_cast<void**>(&api.function)},
      OCHE_CUBLAS_FUNCTIONS(OCHE_LOOK_UP)
#undef OCHE_LOOK_UP
  };
  LibraryState state = load_library(
      "cuBLAS", directories, "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR), symbols);
  if (!state.problem.empty()) return state;
  for (const auto which : {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL}) {
    int part = 0;
    api.cublasGetProperty(which, &part);
    if (!state.version.empty()) state.version += '.';
    state.version += std::to_string(part);
  }
  return state;
}

struct Loaded {
  Api api{};
  LibraryState state = load(library_places(), api);
};
const Loaded& loaded() {
  static const Loaded of_this_process;
  return of_this_process;
}
const Api& api() {
  return loaded().api;
}

#define CUBLAS_CHECK(call)                                           \
  do {                                                               \
    if (const auto code_ = (call); code_ != CUBLAS_STATUS_SUCCESS) { \
      fail_library(#call,                                            \
                   __FILE__,                                         \
                   __LINE__,                                         \
                   api().cublasGetStatusName(code_),                 \
                   api().cublasGetStatusString(code_));              \
    }                                                                \
  } while (false)

class Cublas final : public GemmLibrary {
 public:
  explicit Cublas(CudaContext& ctx)
      : workspace_bytes_(device_properties(ctx.device()).major >= 9 ? 32 << 20 : 4 << 20),
        workspace_(ctx, workspace_bytes_),
        handle_(create()) {
    CUBLAS_CHECK(api().cublasSetStream_v2(handle_.get(), ctx.stream()));
    // After the stream, which would take it away. With a workspace of its own (of the size that
    // NVIDIA recommends for the device) a handle gives the same bits in every run.
    CUBLAS_CHECK(api().cublasSetWorkspace_v2(handle_.get(), workspace_.data(), workspace_bytes_));
    // No TF32 and no emulation of float by shorter numbers, whatever the environment says.
    CUBLAS_CHECK(api().cublasSetMathMode(handle_.get(), CUBLAS_PEDANTIC_MATH));
  }

  void gemm(const GemmShape& s, const float* a, const float* b, float* c) override {
    CUBLAS_CHECK(multiply(api().cublasSgemm_v2_64, s, a, b, c));
  }
  void gemm(const GemmShape& s, const double* a, const double* b, double* c) override {
    CUBLAS_CHECK(multiply(api().cublasDgemm_v2_64, s, a, b, c));
  }

 private:
  struct Destroy {
    void operator()(cublasHandle_t handle) const { api().cublasDestroy_v2(handle); }
  };
  using Handle = std::unique_ptr<cublasContext, Destroy>;

  static Handle create() {
    cublasHandle_t handle = nullptr;
    CUBLAS_CHECK(api().cublasCreate_v2(&handle));
    return Handle(handle);
  }

  // cuBLAS reads columns where we have rows, that is the transposes of all three matrices, of
  // which c^T = op(b)^T op(a)^T holds.
  template <typename Function, typename T>
  cublasStatus_t multiply(Function function, const GemmShape& s, const T* a, const T* b, T* c) {
    const T one = 1, zero = 0;
    const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
    return function(handle_.get(),
                    op(s.transpose_b),
                    op(s.transpose_a),
                    s.N,
                    s.M,
                    s.K,
                    &one,
                    b,
                    s.transpose_b ? s.K : s.N,
                    a,
                    s.transpose_a ? s.M : s.K,
                    &zero,
                    c,
                    s.N);
  }

  size_t workspace_bytes_;
  Scratch workspace_;  // outlives the handle
  Handle handle_;
};

}  // namespace

const LibraryState& cublas_state() {
  return loaded().state;
}

LibraryState find_cublas(const std::vector<std::string>& directories) {
  Api unused;
  return load(directories, unused);
}

std::unique_ptr<GemmLibrary> make_cublas(CudaContext& ctx) {
  return std::make_unique<Cublas>(ctx);
}

}  // namespace oche::kernels::cuda

#else

namespace oche::kernels::cuda {

const LibraryState& cublas_state() {
  static const LibraryState state = find_cublas({});
  return state;
}

LibraryState find_cublas(const std::vector<std::string>&) {
  return {.name = "cuBLAS", .problem = "this build had no header of it (cublas_v2.h)"};
}

std::unique_ptr<GemmLibrary> make_cublas(CudaContext&) {
  return nullptr;
}

}  // namespace oche::kernels::cuda

#endif
