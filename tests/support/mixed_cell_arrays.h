// Runs a case of mixed_cell_cases.h through the kernels of either back end or through the
// reference, on the same data.
//
// A Memory says where arrays lie: put(values) copies them there and returns a pointer that stays
// valid as long as the memory does, get(pointer, n) copies n elements back. HostMemory is the
// CPU's.
#pragma once

#include <cmath>
#include <functional>

#include "tests/support/host_memory.h"
#include "tests/support/mixed_cell_cases.h"
#include "tests/support/reference_cell.h"
#include "tests/support/values.h"

namespace oche {

// What a kernel wrote, and what it must not have written: outputs with all that lies beside them,
// which stays NaN.
template <typename T>
struct CellOutput {
  std::string name;
  std::vector<T> values;
  double terms;         // of the longest sum
  bool narrow = false;  // rounded to bfloat16
};
template <typename T>
using CellOutputs = std::vector<CellOutput<T>>;

// Makes the arrays of a case, the same numbers for every T and Memory. Weights of depthwise
// convolutions, variances and sums are multiples of a power of two, so that the cases with rounded
// products can be exact up to there. narrow: floats keep as bfloat16 what they can.
template <typename T, typename Memory>
class CellArrays {
 public:
  explicit CellArrays(Memory& memory, bool narrow = false)
      : memory_(memory), narrow_(narrow && std::is_same_v<T, float>) {}

  T* values(int64_t n, double low, double high) {
    return memory_.put(as<T>(random_values(n, low, high, ++seed_)));
  }
  // Multiples of 1/16, zeros and ties among them: no rounding decides what a relu or a maximum is.
  kernels::Pixels<const T> image(int64_t pixels, int64_t C, Beside beside) {
    const int64_t pitch = beside.before + C + beside.after;
    ref::Values v = random_values(pixels * pitch, -32, 32, ++seed_);
    for (double& x : v) x = std::floor(x) / 16;
    return {memory_.put(as<T>(v)) + beside.before, pitch};
  }
  // The same as they are kept; bfloat16 holds such numbers.
  kernels::StoredPixels<const T> stored(int64_t pixels, int64_t C, Beside beside) {
    const kernels::Pixels<const T> x = image(pixels, C, beside);
    if constexpr (std::is_same_v<T, float>) {
      if (!narrow_) return x;
      std::vector<kernels::BFloat16> v;
      for (float f : memory_.get(x.data - beside.before, pixels * x.pitch))
        v.push_back(kernels::to_bfloat16(f));
      return {memory_.put(v) + beside.before, x.pitch};
    }
    return x;
  }
  // Means that no such number equals; variances of 1/4, 1 and 4.
  kernels::Moments<const T> moments(int64_t C) {
    ref::Values mean = random_values(C, -16, 16, ++seed_);
    for (double& m : mean) m = (std::floor(m) + 0.5) / 16;
    ref::Values var = random_values(C, -1, 2, ++seed_);
    for (double& v : var) v = std::ldexp(1.0, 2 * static_cast<int>(std::floor(v)));
    return {memory_.put(as<T>(mean)), memory_.put(as<T>(var))};
  }
  // Sums over `pixels` numbers, or over channels too.
  T* sums(int64_t C, int64_t pixels) {
    ref::Values v = random_values(C, -16, 16, ++seed_);
    for (double& s : v) s = std::ldexp(std::floor(s), std::ilogb(static_cast<double>(pixels)) - 4);
    return memory_.put(as<T>(v));
  }
  // 1/4, 1/2 or 1.
  T* mixture_weight() {
    ref::Values v = random_values(1, -2, 1, ++seed_);
    return memory_.put(std::vector<T>{static_cast<T>(std::exp2(std::floor(v[0])))});
  }
  kernels::CellConv<T> conv(const CellConvCase& c, int64_t C) {
    kernels::CellConv<T> conv{c.kernel, c.dilation, c.stride, c.offset, c.out};
    if (c.depthwise) {
      ref::Values taps = random_values(c.kernel * c.kernel * C, -32, 32, ++seed_);
      for (double& t : taps) t = std::floor(t) / 64;
      conv.depthwise = memory_.put(as<T>(taps));
    }
    ref::Values pointwise = random_values(C * c.out, -1, 1, ++seed_);
    for (double& w : pointwise) w = std::ldexp(w, -std::ilogb(static_cast<double>(C)) / 2);
    conv.pointwise = memory_.put(as<T>(pointwise));
    return conv;
  }
  kernels::CellIncoming<T> incoming(int64_t pixels, int64_t C, bool weight, Beside beside = {}) {
    const kernels::Pixels<const T> g = image(pixels, C, beside);
    return {g, weight ? mixture_weight() : nullptr, sums(C, pixels), sums(C, pixels)};
  }

  T* output(const std::string& name, int64_t n, double terms) {
    T* data = memory_.put(poison<T>(n));
    read_.push_back([this, name, data, n, terms] {
      return CellOutput<T>{name, memory_.get(data, n), terms};
    });
    return data;
  }
  kernels::StoredPixels<T> stored_output(
      const std::string& name, int64_t pixels, int64_t C, Beside beside, double terms) {
    if constexpr (std::is_same_v<T, float>) {
      if (narrow_) {
        const int64_t pitch = beside.before + C + beside.after, n = pixels * pitch;
        constexpr kernels::BFloat16 kNaN{0x7fc0};
        kernels::BFloat16* data = memory_.put(std::vector<kernels::BFloat16>(n, kNaN));
        read_.push_back([this, name, data, n, terms] {
          std::vector<float> values;
          for (kernels::BFloat16 v : memory_.get(data, n)) values.push_back(kernels::to_float(v));
          return CellOutput<T>{name, values, terms, true};
        });
        return {data + beside.before, pitch};
      }
    }
    return output(name, pixels, C, beside, terms);
  }
  kernels::Pixels<T> output(
      const std::string& name, int64_t pixels, int64_t C, Beside beside, double terms) {
    const int64_t pitch = beside.before + C + beside.after;
    return {output(name, pixels * pitch, terms) + beside.before, pitch};
  }
  CellOutputs<T> read() const {
    CellOutputs<T> outputs;
    for (const auto& f : read_) outputs.push_back(f());
    return outputs;
  }

 private:
  Memory& memory_;
  const bool narrow_;
  uint32_t seed_ = 0;
  std::vector<std::function<CellOutput<T>()>> read_;
};

inline int64_t pixels(const kernels::CellShape& s, int64_t stride = 1) {
  return s.N * kernels::ceil_div(s.H, stride) * kernels::ceil_div(s.W, stride);
}

template <typename T, typename Memory>
std::vector<kernels::CellSourceForward<T>> forward_sources(CellArrays<T, Memory>& arrays,
                                                           const CellSourcesCase& c) {
  const kernels::CellShape& s = c.shape;
  std::vector<kernels::CellSourceForward<T>> sources;
  for (const CellSourceCase& from : c.sources) {
    kernels::CellSourceForward<T> source;
    if (from.moments) {
      source.source = {arrays.stored(pixels(s), s.C, from.x), arrays.moments(s.C)};
    } else {
      source.source.x = arrays.image(pixels(s), s.C, from.x);
    }
    for (const CellConvCase& f : from.convs) {
      const int64_t M = pixels(s, f.stride);
      const double terms = static_cast<double>(s.C * f.kernel * f.kernel);
      kernels::CellConvForward<T> conv{arrays.conv(f, s.C), {}, {}};
      conv.y = arrays.stored_output("y", M, f.out, f.y, terms);
      if (f.moments) {
        conv.moments = {arrays.output("mean", f.out, terms), arrays.output("var", f.out, terms)};
      }
      source.convs.push_back(conv);
    }
    for (const CellPoolCase& f : from.pools) {
      kernels::CellPoolForward<T> pool{f.pool, f.stride, {}, {}};
      if (f.y) pool.y = arrays.stored_output("pooled", pixels(s, f.stride), s.C, f.beside, 1);
      if (f.moments)
        pool.moments = {arrays.output("pooled mean", s.C, 1), arrays.output("pooled var", s.C, 1)};
      source.pools.push_back(pool);
    }
    sources.push_back(source);
  }
  return sources;
}

template <typename T, typename Memory>
std::vector<kernels::CellSourceBackward<T>> backward_sources(CellArrays<T, Memory>& arrays,
                                                             const CellSourcesCase& c) {
  const kernels::CellShape& s = c.shape;
  std::vector<kernels::CellSourceBackward<T>> sources;
  for (const CellSourceCase& from : c.sources) {
    kernels::CellSourceBackward<T> source;
    if (from.moments) {
      source.source = {arrays.stored(pixels(s), s.C, from.x), arrays.moments(s.C)};
    } else {
      source.source.x = arrays.image(pixels(s), s.C, from.x);
    }
    double terms = 1;
    for (const CellConvCase& f : from.convs) {
      const int64_t M = pixels(s, f.stride);
      terms += static_cast<double>(f.out * f.kernel * f.kernel);
      kernels::CellConvBackward<T> conv;
      conv.conv = arrays.conv(f, s.C);
      conv.y = arrays.stored(M, f.out, f.y);
      conv.moments = arrays.moments(f.out);
      conv.incoming = arrays.incoming(M, f.out, f.weight, f.y);
      const auto across = static_cast<double>(M + f.out + f.kernel * f.kernel);
      if (f.depthwise && f.grad_depthwise)
        conv.grad_depthwise = arrays.output("grad_depthwise", f.kernel * f.kernel * s.C, across);
      if (f.grad_pointwise)
        conv.grad_pointwise = arrays.output("grad_pointwise", s.C * f.out, across);
      source.convs.push_back(conv);
    }
    for (const CellPoolCase& f : from.pools) {
      kernels::CellPoolBackward<T> pool{f.pool, f.stride, arrays.moments(s.C), {}};
      for (int64_t i = 0; i < f.incoming; ++i) {
        terms += 9;
        pool.incoming.push_back(arrays.incoming(pixels(s, f.stride), s.C, true, f.beside));
      }
      source.pools.push_back(pool);
    }
    for (int64_t i = 0; i < from.skips; ++i)
      source.skips.push_back({arrays.image(pixels(s), s.C, from.x), arrays.values(1, 0.25, 1)});
    if (from.initial) source.initial = arrays.image(pixels(s), s.C, from.x);
    source.grad = arrays.output("grad", pixels(s), s.C, from.x, terms);
    if (from.sums) {
      terms += static_cast<double>(pixels(s));
      source.sum_g = arrays.output("sum_g", s.C, terms);
      source.sum_gx = arrays.output("sum_gx", s.C, terms);
    }
    sources.push_back(source);
  }
  return sources;
}

// The table of weights has places that no term has; their gradients are not touched.
template <typename T, typename Memory>
std::vector<kernels::CellTerm<T>> node_terms(CellArrays<T, Memory>& arrays, const CellNodeCase& c) {
  const kernels::CellShape& s = c.shape;
  const auto K = static_cast<int64_t>(c.terms.size());
  std::vector<kernels::CellTerm<T>> terms;
  for (const CellTermCase& from : c.terms) {
    kernels::CellTerm<T> term{from.kind, {}, {}, 0};
    term.x = from.kind == kernels::CellTermKind::kNormalised
                 ? arrays.stored(pixels(s), s.C, from.x)
                 : kernels::StoredPixels<const T>(arrays.image(pixels(s), s.C, from.x));
    if (from.kind != kernels::CellTermKind::kIdentity) term.moments = arrays.moments(s.C);
    term.place = 2 * (K - static_cast<int64_t>(terms.size())) - 1;
    terms.push_back(term);
  }
  return terms;
}

// What the kernels of a node take besides its terms.
template <typename T>
struct NodeForwardArguments {
  const T* weights;
  kernels::Pixels<T> y;
};
template <typename T, typename Memory>
NodeForwardArguments<T> node_forward_arguments(CellArrays<T, Memory>& arrays,
                                               const CellNodeCase& c) {
  const auto K = static_cast<int64_t>(c.terms.size());
  const T* weights = arrays.values(2 * K, -1, 1);
  return {weights, arrays.output("y", pixels(c.shape), c.shape.C, c.y, static_cast<double>(K))};
}
template <typename T>
struct NodeReduceArguments {
  kernels::Pixels<const T> g;
  T *sums, *grad_weights;
};
template <typename T, typename Memory>
NodeReduceArguments<T> node_reduce_arguments(CellArrays<T, Memory>& arrays, const CellNodeCase& c) {
  const kernels::CellShape& s = c.shape;
  const auto K = static_cast<int64_t>(c.terms.size());
  const auto M = static_cast<double>(pixels(s)), C = static_cast<double>(s.C);
  const kernels::Pixels<const T> g = arrays.image(pixels(s), s.C, c.y);
  T* sums = arrays.output("sums", (1 + K) * s.C, M);
  return {g, sums, c.grad_weights ? arrays.output("grad_weights", 2 * K, M * C) : nullptr};
}

// Each run makes the arrays of the case and gives them to `kernel`, called as the reference is.
template <typename T, typename Memory, typename Kernel>
CellOutputs<T> run_source_forward(Memory& memory, const CellSourcesCase& c, const Kernel& kernel) {
  CellArrays<T, Memory> arrays(memory, c.narrow);
  kernel(c.shape, forward_sources(arrays, c));
  return arrays.read();
}
template <typename T, typename Memory, typename Kernel>
CellOutputs<T> run_source_backward(Memory& memory, const CellSourcesCase& c, const Kernel& kernel) {
  CellArrays<T, Memory> arrays(memory, c.narrow);
  kernel(c.shape, backward_sources(arrays, c));
  return arrays.read();
}
template <typename T, typename Memory, typename Kernel>
CellOutputs<T> run_node_forward(Memory& memory, const CellNodeCase& c, const Kernel& kernel) {
  CellArrays<T, Memory> arrays(memory, c.narrow);
  const auto terms = node_terms(arrays, c);
  const auto a = node_forward_arguments(arrays, c);
  kernel(c.shape, terms, a.weights, a.y);
  return arrays.read();
}
template <typename T, typename Memory, typename Kernel>
CellOutputs<T> run_node_reduce(Memory& memory, const CellNodeCase& c, const Kernel& kernel) {
  CellArrays<T, Memory> arrays(memory, c.narrow);
  const auto terms = node_terms(arrays, c);
  const auto a = node_reduce_arguments(arrays, c);
  kernel(c.shape, terms, a.g, a.sums, a.grad_weights);
  return arrays.read();
}

// The same by the kernels of ctx's back end.
template <typename T, typename Memory>
std::byte* cell_workspace(Memory& memory, int64_t bytes) {
  return memory.put(std::vector<std::byte>(bytes, std::byte{0xff}));
}
template <typename T, typename Context, typename Memory>
CellOutputs<T> source_forward(Context& ctx, Memory& memory, const CellSourcesCase& c) {
  return run_source_forward<T>(memory, c, [&](const auto& shape, const auto& sources) {
    const int64_t bytes = kernels::cell_source_forward_workspace<T>(ctx, shape, sources);
    kernels::cell_source_forward<T>(ctx, shape, sources, cell_workspace<T>(memory, bytes));
  });
}
template <typename T, typename Context, typename Memory>
CellOutputs<T> source_backward(Context& ctx, Memory& memory, const CellSourcesCase& c) {
  return run_source_backward<T>(memory, c, [&](const auto& shape, const auto& sources) {
    const int64_t bytes = kernels::cell_source_backward_workspace<T>(ctx, shape, sources);
    kernels::cell_source_backward<T>(ctx, shape, sources, cell_workspace<T>(memory, bytes));
  });
}
template <typename T, typename Context, typename Memory>
CellOutputs<T> node_forward(Context& ctx, Memory& memory, const CellNodeCase& c) {
  return run_node_forward<T>(
      memory, c, [&](const auto& shape, const auto& terms, const T* weights, auto y) {
        kernels::cell_node_forward<T>(ctx, shape, terms, weights, y);
      });
}
template <typename T, typename Context, typename Memory>
CellOutputs<T> node_reduce(Context& ctx, Memory& memory, const CellNodeCase& c) {
  return run_node_reduce<T>(
      memory, c, [&](const auto& shape, const auto& terms, auto g, T* sums, T* grad_weights) {
        const auto K = static_cast<int64_t>(terms.size());
        const int64_t doubles = kernels::cell_node_reduce_workspace(ctx, shape, K);
        double* workspace = memory.put(poison<double>(doubles));
        kernels::cell_node_reduce<T>(ctx, shape, terms, g, sums, grad_weights, workspace);
      });
}

// By the reference.
inline CellOutputs<double> reference_source_forward(const CellSourcesCase& c) {
  HostMemory memory;
  return run_source_forward<double>(memory, c, ref::cell_source_forward<double>);
}
inline CellOutputs<double> reference_source_backward(const CellSourcesCase& c) {
  HostMemory memory;
  return run_source_backward<double>(memory, c, ref::cell_source_backward<double>);
}
inline CellOutputs<double> reference_node_forward(const CellNodeCase& c) {
  HostMemory memory;
  return run_node_forward<double>(memory, c, ref::cell_node_forward<double>);
}
inline CellOutputs<double> reference_node_reduce(const CellNodeCase& c) {
  HostMemory memory;
  return run_node_reduce<double>(memory, c, ref::cell_node_reduce<double>);
}

// What rounding allows of it.
template <typename T>
double cell_tolerance(const CellOutput<double>& want) {
  return kEpsilon<T> * (64 + want.terms);
}
// The largest error of `got`, relative to the largest number of its array or 1; infinite where
// something was written that must not be, or was not.
template <typename T>
double cell_error(const CellOutput<T>& got, const CellOutput<double>& want) {
  double scale = 1;
  for (double v : want.values) {
    if (std::isfinite(v)) scale = std::max(scale, std::abs(v));
  }
  // A bfloat16 is right if a number within rounding of the true one becomes it.
  const auto is_rounded = [&](double v, double from) {
    const double error = cell_tolerance<T>(want) * scale;
    const auto narrow = [](double x) { return kernels::round_to_bfloat16(static_cast<float>(x)); };
    return narrow(from - error) <= v && v <= narrow(from + error);
  };
  std::vector<double> scaled_got, scaled_want;
  for (size_t i = 0; i < got.values.size(); ++i) {
    double v = got.values[i];
    if (got.narrow && i < want.values.size() && is_rounded(v, want.values[i])) v = want.values[i];
    scaled_got.push_back(v / scale);
  }
  for (double v : want.values) scaled_want.push_back(v / scale);
  return worst_error(scaled_got, scaled_want);
}

// All numbers one after another, for comparisons of bits.
template <typename T>
std::vector<T> flat(const CellOutputs<T>& outputs) {
  std::vector<T> all;
  for (const CellOutput<T>& o : outputs) all.insert(all.end(), o.values.begin(), o.values.end());
  return all;
}

}  // namespace oche
