// The two steps of the backward pass of a cell's sources on a CUDA device.
//   cell_unit_backward_kernel  what reaches the depthwise output z of each convolution and the
//                              values of each pool, and the weights' gradients in parts
//   cell_gather_kernel         gathers that for each pixel of a source, and adds up the parts
// Between them z's gradients lie in the workspace: neither repeats the other's work at the edges of
// a tile, and both fill the device with tiles of all units at once.
#pragma once

#include "kernels/cuda/mixed_cell.cuh"

namespace oche::kernels::cuda {

// A convolution or one consumer of a pool; the `follow` units after a pool's are its other
// consumers, of which only g to sum_gx count.
template <typename T>
struct BackwardUnit {
  CellView<T> x, y;  // of a pool, y's moments
  CellTaps<T> taps;
  const T *g = nullptr, *weight = nullptr, *sum_g = nullptr, *sum_gx = nullptr;
  T* grad = nullptr;  // of z (pixels of y, C), or of the pool's values
  union {
    T* partials = nullptr;  // (blocks of pixels, depthwise_columns + pointwise_columns)
    uint8_t* winner;        // of a maximum: which tap it is; nullptr: an average
  };
  int pitch = 0;  // of g
  int n = 0;      // blocks: of a convolution, of `steps` tiles each
  short follow = 0;
  short pool = -1;  // a CellPool, or a convolution
  short steps = 1;
  bool add : 1 = false;  // to what is in grad
  bool wants_depthwise : 1 = false, wants_pointwise : 1 = false;

  __host__ __device__ int depthwise_columns(int C) const {
    return wants_depthwise ? taps.kernel * taps.kernel * C : 0;
  }
  __host__ __device__ int pointwise_columns(int C) const {
    return wants_pointwise ? C * taps.out : 0;
  }
  __host__ __device__ int partial_columns(int C) const {
    return depthwise_columns(C) + pointwise_columns(C);
  }
};

static_assert(CellTable<BackwardUnit<float>>::kEntries >= 24, "a state that leads to four nodes");

// What the gradient of a source is made of.
template <typename T>
struct GatherTerm {
  const T* grad = nullptr;    // of a convolution's z, of a pool's values, or of a node
  const T* weight = nullptr;  // depthwise, or of a skip
  const uint8_t* winner = nullptr;
  int pitch = 0;
  short kernel = 1, dilation = 1, stride = 1, offset = 0;
  enum Kind { kConv, kMaxPool, kAveragePool, kSkip } kind = kConv;
};
template <typename T>
struct GatherSource {
  CellView<T> x;
  const T* initial = nullptr;
  T* grad = nullptr;
  T *sum_g = nullptr, *sum_gx = nullptr;
  double* partials = nullptr;  // (tiles, 2, C)
  int initial_pitch = 0, pitch = 0;
  int first = 0, count = 0;  // of its terms
};
// Sums over blocks of pixels: columns of the depthwise weights, then of the pointwise ones.
template <typename T>
struct GatherWeights {
  const T* partials = nullptr;
  T *depthwise = nullptr, *pointwise = nullptr;
  int rows = 0, depthwise_columns = 0, columns = 0,
      begin = 0;  // the first block, from the sources'
};
template <typename T>
struct GatherTable {
  static constexpr int kSources = 10, kTerms = 44, kWeights = 32;
  int sources = 0, terms = 0, weights = 0;
  int blocks_of_source = 0, blocks_of_weights = 0, vectors = 0;
  GatherSource<T> source[kSources];
  GatherTerm<T> term[kTerms];
  GatherWeights<T> weight[kWeights];

  int blocks() const { return sources * blocks_of_source + blocks_of_weights; }
};

static_assert(sizeof(GatherTable<float>) + sizeof(CellExtents) + sizeof(unsigned*) <= 4096);

// True iff the kernel for usual convolutions takes a unit; it takes any pool of whole vectors.
template <typename T>
bool usual_unit(const CudaContext&, const CellShape&, const BackwardUnit<T>&);
template <typename T>
void launch_units_usual(CudaContext&, const CellShape&, const CellTable<BackwardUnit<T>>&);
// The blocks of threads that the kernel for any takes, n of them for each chunk of channels and
// more.
template <typename T>
int blocks_any(const CellShape&, const BackwardUnit<T>&);
template <typename T>
void launch_units_any(CudaContext&, const CellShape&, const CellTable<BackwardUnit<T>>&);
template <typename T>
void launch_gather(CudaContext&, const CellShape&, const GatherTable<T>&);

}  // namespace oche::kernels::cuda
