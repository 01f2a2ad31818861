# The sources of the CUDA back end, from kernels/: once compiled by nvcc (cmake/cuda.cmake), once by the host compiler for
# the model (tests/cuda_host).
set(cuda_kernel_sources
  cuda/augment.cu
  cuda/batch_norm.cu
  cuda/conv2d.cu
  cuda/conv2d_depthwise.cu
  cuda/conv2d_direct.cu
  cuda/elementwise.cu
  cuda/gemm.cu
  cuda/mixed_sum.cu
  cuda/optimizer.cu
  cuda/peak.cu
  cuda/pool2d.cu
  cuda/random.cu
  cuda/reduce.cu
  cuda/softmax.cu
  cuda/step.cu
)
set(cuda_runtime_sources
  cuda/cublas.cpp
  cuda/cudnn.cpp
  cuda/cudnn_api.cpp
  cuda/graph.cpp
  cuda/libraries.cpp
  cuda/runtime.cpp
  cuda/shared_library.cpp
)
