// The passes of a fused cell of mixed ops: relu, convolutions, batch normalisation without affine
// part and the weighted sum, without what lies between them ever being written
// (docs/performance.md, "The algebra of the fused cell").
//
// A cell is a graph of states. A *source* is what convolutions read: a state, or the result of the
// first half of a separable convolution, normalised as it is read. A *term* is what a node adds up.
//   forward, for each state: cell_source_forward on it, then on the first halves that came out;
//                            cell_node_forward for the next node
//   backward, from the last node: cell_node_reduce; cell_source_backward on the first halves that
//                            led to it; cell_source_backward on the state before it
// Activations are NHWC, all sums in fixed order: blocks that follow from the shape alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/blocks.h"
#include "kernels/context.h"
#include "kernels/rounding.h"

namespace oche::kernels {

constexpr int64_t kMaxCellKernel = 15;

// What the factors of the products of pointwise convolutions are rounded to, forward and backward,
// where they are floats: all three products of a convolution round both factors. Sums stay float.
enum class CellProducts : uint8_t { kExact, kTensorFloat32, kBFloat16 };

// Of a source, or of a node.
struct CellShape {
  int64_t N, H, W, C;
  double eps = 1e-5;  // of all batch normalisations
  CellProducts products = CellProducts::kExact;
};

// N images of H rows of W pixels, neighbours `pitch` elements apart: a tensor, or some channels of
// one.
template <typename T>
struct Pixels {
  T* data = nullptr;
  int64_t pitch = 0;
};

// Pixels that are normalised where they are read: of T, or, where T is float, of bfloat16. One of
// the two pointers is set.
template <typename T>
struct StoredPixels {
  using Narrow = std::conditional_t<std::is_const_v<T>, const BFloat16, BFloat16>;
  T* data = nullptr;
  int64_t pitch = 0;
  Narrow* narrow = nullptr;

  StoredPixels() = default;
  StoredPixels(Pixels<T> p) : data(p.data), pitch(p.pitch) {}
  StoredPixels(T* p, int64_t pitch_of_pixels) : data(p), pitch(pitch_of_pixels) {}
  StoredPixels(Narrow* p, int64_t pitch_of_pixels) : pitch(pitch_of_pixels), narrow(p) {}

  bool stored() const { return data || narrow; }
  Pixels<T> whole() const { return {data, pitch}; }  // of T
  // So many elements further on.
  StoredPixels from(int64_t elements) const {
    StoredPixels p = *this;
    if (p.data) p.data += elements;
    if (p.narrow) p.narrow += elements;
    return p;
  }
};

// Mean and population variance of each channel over all pixels.
template <typename T>
struct Moments {
  T *mean = nullptr, *var = nullptr;
};

// normalised(x) = (x - mean) / sqrt(var + eps), or x itself where no moments are given; then it is
// of T.
template <typename T>
struct CellSource {
  StoredPixels<const T> x;
  Moments<const T> moments;
};

// y[n,p,q,o] = sum_c pointwise[c,o] * sum_{r,s} depthwise[r,s,c] *
//              relu(normalised(x))[n, p * stride + offset + r * dilation, q * stride + offset + s *
//              dilation, c]
// for p < ceil(H / stride), q < ceil(W / stride), o < out; taps outside the image contribute
// nothing. Without depthwise weights the kernel is 1 and its weight 1. kernel <= kMaxCellKernel.
template <typename T>
struct CellConv {
  int64_t kernel = 1, dilation = 1, stride = 1, offset = 0, out = 0;
  const T* depthwise = nullptr;  // (kernel, kernel, C)
  const T* pointwise = nullptr;  // (C, out)
};

// 3x3 windows around p * stride; padding never wins a maximum and is excluded from the divisor of
// an average. Of equal maxima the first in scan order is the one; a NaN wins.
enum class CellPool { kMax, kAverage };

template <typename T>
struct CellConvForward {
  CellConv<T> conv;
  StoredPixels<T> y;
  Moments<T> moments;  // of y before it is rounded to be stored, if wanted
};
template <typename T>
struct CellPoolForward {
  CellPool pool;
  int64_t stride;
  StoredPixels<T> y;   // if wanted
  Moments<T> moments;  // of the pooled values before they are rounded, if wanted
};
// Pools read the source as it is stored, without relu. All convolutions of a source have one
// stride.
template <typename T>
struct CellSourceForward {
  CellSource<T> source;
  std::vector<CellConvForward<T>> convs;
  std::vector<CellPoolForward<T>> pools;
};

// All `sources` have the shape (N, H, W, C). `workspace`: cell_source_forward_workspace() bytes,
// aligned to 64.
template <typename T>
void cell_source_forward(CpuContext&,
                         const CellShape&,
                         const std::vector<CellSourceForward<T>>& sources,
                         std::byte* workspace);
template <typename T>
void cell_source_forward(CudaContext&,
                         const CellShape&,
                         const std::vector<CellSourceForward<T>>& sources,
                         std::byte* workspace);
template <typename T>
int64_t cell_source_forward_workspace(const CpuContext&,
                                      const CellShape&,
                                      const std::vector<CellSourceForward<T>>& sources);
template <typename T>
int64_t cell_source_forward_workspace(const CudaContext&,
                                      const CellShape&,
                                      const std::vector<CellSourceForward<T>>& sources);

// What a node adds up: `kNormalised` is normalised(x), `kIdentity` x, the pools the 3x3 pools of
// stride 1 of x, normalised by `moments`.
enum class CellTermKind { kNormalised, kIdentity, kMaxPool, kAveragePool };
template <typename T>
struct CellTerm {
  CellTermKind kind;
  StoredPixels<const T> x;  // narrow: only of a normalised one
  Moments<const T> moments;
  int64_t place;  // of its weight
};

// y = sum_k weights[place_k] * term_k, (N, H, W, C). At least one term.
template <typename T>
void cell_node_forward(CpuContext&,
                       const CellShape&,
                       const std::vector<CellTerm<T>>& terms,
                       const T* weights,
                       Pixels<T> y);
template <typename T>
void cell_node_forward(CudaContext&,
                       const CellShape&,
                       const std::vector<CellTerm<T>>& terms,
                       const T* weights,
                       Pixels<T> y);

// With g the gradient of the node: sums (1 + K, C) = sum g, then sum g * term_k, over all pixels;
// and grad_weights[place_k] = sum_c of the latter, if wanted. `workspace`:
// cell_node_reduce_workspace() doubles.
template <typename T>
void cell_node_reduce(CpuContext&,
                      const CellShape&,
                      const std::vector<CellTerm<T>>& terms,
                      Pixels<const T> g,
                      T* sums,
                      T* grad_weights,
                      double* workspace);
template <typename T>
void cell_node_reduce(CudaContext&,
                      const CellShape&,
                      const std::vector<CellTerm<T>>& terms,
                      Pixels<const T> g,
                      T* sums,
                      T* grad_weights,
                      double* workspace);
int64_t cell_node_reduce_workspace(const CpuContext&, const CellShape&, int64_t terms);
int64_t cell_node_reduce_workspace(const CudaContext&, const CellShape&, int64_t terms);

// The gradient that reaches y through its normalisation, whose output has the gradient weight * g:
//   grad_y = weight * rstd * (g - sum_g / M - normalised(y) * sum_gx / M),  M the pixels of y,
// with sum_g = sum g and sum_gx = sum g * normalised(y) for each channel. weight nullptr: 1.
template <typename T>
struct CellIncoming {
  Pixels<const T> g;
  const T* weight;
  const T *sum_g, *sum_gx;
};
template <typename T>
struct CellConvBackward {
  CellConv<T> conv;
  StoredPixels<const T> y;
  Moments<const T> moments;
  CellIncoming<T> incoming;
  // Overwritten; nullptr: not wanted.
  T *grad_depthwise = nullptr, *grad_pointwise = nullptr;
};
// All consumers of one pool of the source.
template <typename T>
struct CellPoolBackward {
  CellPool pool;
  int64_t stride;
  Moments<const T> moments;  // of the pooled values
  std::vector<CellIncoming<T>> incoming;
};
template <typename T>
struct CellSkipBackward {
  Pixels<const T> g;
  const T* weight;
};

// grad = initial + gradient of all consumers with respect to normalised(x), overwritten.
template <typename T>
struct CellSourceBackward {
  CellSource<T> source;
  std::vector<CellConvBackward<T>> convs;
  std::vector<CellPoolBackward<T>> pools;
  std::vector<CellSkipBackward<T>> skips;
  Pixels<const T> initial;  // data nullptr: 0
  Pixels<T> grad;
  // sum grad and sum grad * normalised(x), (C) each; nullptr: not wanted.
  T *sum_g = nullptr, *sum_gx = nullptr;
};

// All `sources` have the shape (N, H, W, C). `workspace`: cell_source_backward_workspace() bytes,
// aligned to 64.
template <typename T>
void cell_source_backward(CpuContext&,
                          const CellShape&,
                          const std::vector<CellSourceBackward<T>>& sources,
                          std::byte* workspace);
template <typename T>
void cell_source_backward(CudaContext&,
                          const CellShape&,
                          const std::vector<CellSourceBackward<T>>& sources,
                          std::byte* workspace);
template <typename T>
int64_t cell_source_backward_workspace(const CpuContext&,
                                       const CellShape&,
                                       const std::vector<CellSourceBackward<T>>& sources);
template <typename T>
int64_t cell_source_backward_workspace(const CudaContext&,
                                       const CellShape&,
                                       const std::vector<CellSourceBackward<T>>& sources);

}  // namespace oche::kernels
