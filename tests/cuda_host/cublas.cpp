// A stand-in for cuBLAS on the host: those of its functions that kernels/cuda/cublas.cpp calls, by
// its header, in plain loops and double. It insists on what keeps the real one exact and
// repeatable.
#include <cublas_v2.h>

#include <cstdint>
#include <cstring>

#include "tests/cuda_host/arena.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};

namespace {

template <typename T>
cublasStatus_t multiply(cublasHandle_t handle,
                        cublasOperation_t op_a,
                        cublasOperation_t op_b,
                        int64_t m,
                        int64_t n,
                        int64_t k,
                        const T* alpha,
                        const T* a,
                        int64_t lda,
                        const T* b,
                        int64_t ldb,
                        const T* beta,
                        T* c,
                        int64_t ldc) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  const bool ta = op_a == CUBLAS_OP_T, tb = op_b == CUBLAS_OP_T;
  if (m < 0 || n < 0 || k < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (handle->math != CUBLAS_PEDANTIC_MATH) return CUBLAS_STATUS_ARCH_MISMATCH;  // TF32
  if (handle->workspace_bytes < 4 << 20) return CUBLAS_STATUS_EXECUTION_FAILED;  // not repeatable
  const oche::cuda_host::DeviceAccess access;
  std::memset(handle->workspace, 0xff, handle->workspace_bytes);
  for (int64_t j = 0; j < n; ++j) {  // matrices by columns
    for (int64_t i = 0; i < m; ++i) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += static_cast<double>(ta ? a[i * lda + l] : a[l * lda + i]) *
               static_cast<double>(tb ? b[l * ldb + j] : b[j * ldb + l]);
      }
      T& to = c[j * ldc + i];
      const double before = *beta == T(0) ? 0 : static_cast<double>(*beta) * to;
      to = static_cast<T>(*alpha * sum + before);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  handle->workspace = nullptr;  // as documented
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t math) {
  handle->math = math;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm_v2_64(cublasHandle_t handle,
                                 cublasOperation_t op_a,
                                 cublasOperation_t op_b,
                                 int64_t m,
                                 int64_t n,
                                 int64_t k,
                                 const float* alpha,
                                 const float* a,
                                 int64_t lda,
                                 const float* b,
                                 int64_t ldb,
                                 const float* beta,
                                 float* c,
                                 int64_t ldc) {
  return multiply(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
cublasStatus_t cublasDgemm_v2_64(cublasHandle_t handle,
                                 cublasOperation_t op_a,
                                 cublasOperation_t op_b,
                                 int64_t m,
                                 int64_t n,
                                 int64_t k,
                                 const double* alpha,
                                 const double* a,
                                 int64_t lda,
                                 const double* b,
                                 int64_t ldb,
                                 const double* beta,
                                 double* c,
                                 int64_t ldc) {
  return multiply(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  const int parts[] = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH};
  *value = parts[type];
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusName(cublasStatus_t code) {
  switch (code) {
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    default:
      return "CUBLAS_STATUS";
  }
}
const char* cublasGetStatusString(cublasStatus_t) {
  return "the stand-in refuses";
}
