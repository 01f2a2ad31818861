// Modules, their parameters and buffers, and their initialisation.
#include "engine/nn.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/profile.h"
#include "kernels/random.h"
#include "kernels/step.h"

namespace oche {

Tensor to_file_layout(const Tensor& t, Layout layout) {
  return layout == Layout::kConvWeight ? permute(t, {3, 2, 0, 1}) : t;
}
Tensor from_file_layout(const Tensor& t, Layout layout) {
  return layout == Layout::kConvWeight ? permute(t, {2, 3, 1, 0}) : t;
}
Shape file_shape(const Shape& s, Layout layout) {
  return layout == Layout::kConvWeight ? Shape{s[3], s[2], s[0], s[1]} : s;
}

Parameter& Module::add_parameter(
    std::string name, const Shape& shape, DType dtype, Initialisation init, Layout layout) {
  auto parameter = std::make_unique<Parameter>();
  parameter->value = Tensor::full(shape, init.constant, dtype).set_requires_grad(true);
  parameter->layout = layout;
  parameter->init = init;
  parameters_.emplace_back(std::move(name), std::move(parameter));
  return *parameters_.back().second;
}

Tensor Module::add_buffer(std::string name, Tensor value) {
  buffers_.push_back({std::move(name), std::move(value)});
  return buffers_.back().tensor;
}

void apply(const std::vector<BufferUpdate>& updates) {
  move_statistics(updates);
  count(counters_of(updates));
}

void move_statistics(const std::vector<BufferUpdate>& updates, const Tensor& gate) {
  ProfileScope profile(ProfileKind::kOp, "running_statistics");
  const auto first = std::ranges::find_if(updates, [](const auto& u) { return u.batch.defined(); });
  if (first == updates.end()) return;
  dispatch(first->buffer, [&]<typename T>(auto& ctx) {
    std::vector<kernels::RunningTensor<T>> tensors;
    tensors.reserve(updates.size());
    for (const BufferUpdate& u : updates) {
      if (!u.batch) continue;
      profile.count(3 * u.buffer.numel() * size_of(u.buffer.dtype()));
      tensors.push_back({u.buffer.numel(), u.batch.data<T>(), u.buffer.mutable_data<T>(), u.share});
    }
    kernels::move_running<T>(
        ctx, 1 - kRunningMomentum, tensors, gate ? gate.data<int64_t>() : nullptr);
  });
}

std::vector<Tensor> counters_of(const std::vector<BufferUpdate>& updates) {
  std::vector<Tensor> counters;
  for (const BufferUpdate& u : updates) {
    if (!u.batch) counters.push_back(u.buffer);
  }
  return counters;
}

void count(const std::vector<Tensor>& counters) {
  if (DryRun::active()) return;
  for (const Tensor& t : counters) ++*t.mutable_data<int64_t>();
}

std::vector<NamedParameter> Module::named_parameters() {
  std::vector<NamedParameter> parameters;
  collect("", parameters);
  return parameters;
}

std::vector<NamedBuffer> Module::named_buffers() const {
  std::vector<NamedBuffer> buffers;
  collect("", buffers);
  return buffers;
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>& parameters) {
  for (auto& [name, parameter] : parameters_)
    parameters.push_back({prefix + name, parameter.get()});
  for (auto& [name, child] : children_) child->collect(prefix + name + ".", parameters);
}

void Module::collect(const std::string& prefix, std::vector<NamedBuffer>& buffers) const {
  for (const NamedBuffer& b : buffers_) buffers.push_back({prefix + b.name, b.tensor});
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", buffers);
}

void initialise(const std::vector<NamedParameter>& parameters, uint64_t seed) {
  if (DryRun::active()) return;
  const NoGrad no_grad;
  for (const auto& [name, p] : parameters) {
    const Tensor drawn = Tensor::full(file_shape(p->value.shape(), p->layout),
                                      p->init.constant,
                                      p->value.dtype(),
                                      p->value.device());
    if (p->init.bound > 0) {
      const RandomKey key = random_key(seed, module_id(name), Purpose::kInit);
      dispatch(drawn, [&, bound = p->init.bound]<typename T>(auto& ctx) {
        kernels::fill_uniform<T>(
            ctx, key, {}, drawn.numel(), -bound, bound, drawn.mutable_data<T>());
      });
    }
    p->value.assign(from_file_layout(drawn, p->layout));
  }
}

std::vector<Tensor> detached(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> values;
  for (const Tensor& t : tensors) values.push_back(t.detach());
  return values;
}

std::vector<Tensor> detached_leaves(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> values;
  for (const Tensor& t : tensors) values.push_back(t.clone().set_requires_grad(true));
  return values;
}

}  // namespace oche
