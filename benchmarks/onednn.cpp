// Baseline rows of oneDNN: convolutions, pools and batch normalisation in NHWC, float32; none where
// it was not found.
#include "benchmarks/families.h"

#if OCHE_HAVE_ONEDNN

#include <omp.h>

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "benchmarks/conv2d_shape.h"
#include "benchmarks/kernel_case.h"
#include "tests/support/reference_conv.h"

namespace oche::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using kernels::Conv2dShape;
using kernels::Pool2dShape;

constexpr double kEps = 1e-5;

// The library's device and queue, and the number of its threads.
struct Library {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};

  static Library& instance() {
    static Library library;
    return library;
  }
};

memory::desc describe(const memory::dims& dims, Tag tag) {
  return {dims, memory::data_type::f32, tag};
}

// A view of the buffer.
memory wrap(const memory::desc& desc, const Buffer<float>& buffer) {
  return memory(desc, Library::instance().engine, buffer.data());
}

// Executes on the threads that the other rows have.
std::function<void()> runner(const dnnl::primitive& primitive,
                             const std::unordered_map<int, memory>& arguments) {
  return [=] {
    omp_set_num_threads(num_threads());
    Library& library = Library::instance();
    primitive.execute(library.stream, arguments);
    library.stream.wait();
  };
}

Case conv2d_case(const Arguments& a) {
  const Conv2dShape s = conv2d_shape(a);
  const bool depthwise = s.groups > 1;
  const auto x = input<float>(input_size(s)), w = input<float>(weight_size(s), -1, 1, 2);
  const auto y = output<float>(output_size(s));
  const memory::desc x_desc = describe({s.N, s.C, s.H, s.W}, Tag::nhwc);
  const memory::desc y_desc = describe({s.N, s.out_C, s.out_h(), s.out_w()}, Tag::nhwc);
  const memory::dims w_dims = depthwise ? memory::dims{s.groups, 1, 1, s.kernel_h, s.kernel_w}
                                        : memory::dims{s.out_C, s.C, s.kernel_h, s.kernel_w};
  Library& library = Library::instance();
  const dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference,
                                             dnnl::algorithm::convolution_direct,
                                             x_desc,
                                             describe(w_dims, Tag::any),
                                             y_desc,
                                             {s.stride, s.stride},
                                             {s.dilation - 1, s.dilation - 1},
                                             {s.padding, s.padding},
                                             {s.padding, s.padding});
  const dnnl::convolution_forward::primitive_desc chosen(desc, library.engine);
  memory from = wrap(describe(w_dims, depthwise ? Tag::hwigo : Tag::hwio), w);
  memory weights(chosen.weights_desc(), library.engine);
  dnnl::reorder(from, weights).execute(library.stream, from, weights);
  library.stream.wait();
  return {.run = [x,
                  y,
                  execute = runner(dnnl::convolution_forward(chosen),
                                   {{DNNL_ARG_SRC, wrap(x_desc, x)},
                                    {DNNL_ARG_WEIGHTS, weights},
                                    {DNNL_ARG_DST, wrap(y_desc, y)}})] { execute(); },
          .check =
              [=] {
                return compare(y,
                               ref::conv2d(s, x.reference(), {}, w.reference()),
                               tolerance<float>(s.kernel_h * s.kernel_w * s.C / s.groups));
              },
          .bytes = x.bytes() + w.bytes() + y.bytes(),
          .flops = conv2d_flops(s)};
}

Case pool2d_case(dnnl::algorithm algorithm, const Arguments& a) {
  const Pool2dShape s = pool2d_shape(a);
  const auto x = input<float>(input_size(s)), y = output<float>(output_size(s));
  const memory::desc x_desc = describe({s.N, s.C, s.H, s.W}, Tag::nhwc);
  const memory::desc y_desc = describe({s.N, s.C, s.out_h(), s.out_w()}, Tag::nhwc);
  const dnnl::pooling_forward::desc desc(dnnl::prop_kind::forward_inference,
                                         algorithm,
                                         x_desc,
                                         y_desc,
                                         {s.stride, s.stride},
                                         {s.kernel, s.kernel},
                                         {s.padding, s.padding},
                                         {s.padding, s.padding});
  const dnnl::pooling_forward pool({desc, Library::instance().engine});
  const bool max = algorithm == dnnl::algorithm::pooling_max;
  return {.run = [x,
                  y,
                  execute = runner(pool,
                                   {{DNNL_ARG_SRC, wrap(x_desc, x)},
                                    {DNNL_ARG_DST, wrap(y_desc, y)}})] { execute(); },
          .check =
              [=] {
                const ref::Values v = x.reference();
                return compare(y,
                               max ? ref::max_pool2d(s, v).y : ref::avg_pool2d(s, v),
                               tolerance<float>(s.kernel * s.kernel));
              },
          .bytes = x.bytes() + y.bytes(),
          .flops = pool2d_flops(s)};
}

// Statistics and normalisation in one, where ours are two kernels.
Case batch_norm_case(const Arguments& a) {
  const int64_t C = a["c"], rows = image_size(a) / C;
  const auto x = input<float>(rows * C, -2, 3), y = output<float>(rows * C);
  const auto mean = output<float>(C), var = output<float>(C);
  const memory::desc desc = describe({a["n"], C, a["h"], a["w"]}, Tag::nhwc);
  const memory::desc row = describe({C}, Tag::a);
  const dnnl::batch_normalization_forward::desc operation(
      dnnl::prop_kind::forward_training, desc, kEps, dnnl::normalization_flags::none);
  const dnnl::batch_normalization_forward norm({operation, Library::instance().engine});
  return {.run = [x,
                  y,
                  mean,
                  var,
                  execute = runner(norm,
                                   {{DNNL_ARG_SRC, wrap(desc, x)},
                                    {DNNL_ARG_MEAN, wrap(row, mean)},
                                    {DNNL_ARG_VARIANCE, wrap(row, var)},
                                    {DNNL_ARG_DST, wrap(desc, y)}})] { execute(); },
          .check =
              [=] {
                const ref::Values v = x.reference();
                return compare(y,
                               ref::batch_norm(rows,
                                               C,
                                               kEps,
                                               v,
                                               ref::batch_norm_statistics(rows, C, v),
                                               ref::Values(C, 1),
                                               ref::Values(C, 0)),
                               tolerance<float>(1) + tolerance<double>(rows));
              },
          .bytes = x.bytes() + y.bytes() + mean.bytes() + var.bytes(),
          .flops = 6.0 * static_cast<double>(rows * C)};
}

// Our own family of this name without `dropped`, computed by oneDNN.
Family baseline(const std::vector<Family>& own,
                std::string_view name,
                std::string_view dropped,
                std::function<Case(const Arguments&)> make) {
  Family family = *std::ranges::find(own, name, &Family::name);
  family.name = "onednn/" + family.name;
  family.group = "baseline";
  family.summary += ", by oneDNN";
  std::erase_if(family.parameters, [&](const Parameter& p) { return p.name == dropped; });
  std::erase_if(family.instances, [&](const Instance& instance) {
    return std::ranges::any_of(instance, [&](const auto& item) { return item.first == dropped; });
  });
  family.make = [make](const Arguments& a, DType) { return make(a); };
  family.f32_only = true;
  return family;
}

}  // namespace

std::vector<Family> onednn_families() {
  const std::vector<Family> convolutions = conv2d_families(), pools = pool2d_families();
  std::vector<Family> families = {
      baseline(convolutions, "conv2d_depthwise_forward", "relu", conv2d_case),
      baseline(convolutions, "conv2d_pointwise_forward", "relu", conv2d_case),
      baseline(pools,
               "max_pool2d_forward",
               "",
               [](const Arguments& a) { return pool2d_case(dnnl::algorithm::pooling_max, a); }),
      baseline(pools,
               "avg_pool2d_forward",
               "",
               [](const Arguments& a) {
                 return pool2d_case(dnnl::algorithm::pooling_avg_exclude_padding, a);
               }),
      baseline(norm_families(), "batch_norm_forward", "", batch_norm_case)};
  families[0].summary = "one filter a channel, without relu, by oneDNN";
  families[1].summary = "1x1, without relu, by oneDNN";
  families[2].summary = "without the winning taps, by oneDNN";
  families[4].summary = "statistics and normalisation, no affine part, by oneDNN";
  return families;
}

}  // namespace oche::bench

#else

namespace oche::bench {

std::vector<Family> onednn_families() {
  return {};
}

}  // namespace oche::bench

#endif
