// Tensor: factories, access, copies.
#include "engine/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/profile.h"
#include "kernels/elementwise.h"

namespace oche {
namespace {

const TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl) {
  if (!impl)
    throw std::invalid_argument(
        fmt::format("{}: an undefined tensor has no shape and no data", current_op()));
  return *impl;
}

std::byte* first_byte(const TensorImpl& t, DType wanted) {
  if (t.dtype != wanted) {
    throw std::invalid_argument(fmt::format(
        "{}: data of dtype {} read as {}", current_op(), to_string(t.dtype), to_string(wanted)));
  }
  if (!t.storage) throw std::logic_error(std::string(t.absent));
  if (!t.storage->data()) throw std::logic_error("a tensor made in a dry run has no data");
  return t.storage->data() + t.offset * size_of(t.dtype);
}

// Row-major copy of the elements into contiguous `target`, which is memory of the same device.
template <typename T>
void copy_out(const Tensor& source, T* target) {
  ProfileScope profile(ProfileKind::kOp, "copy");
  profile.count(2 * source.numel() * size_of(source.dtype()));
  const Strides dense = contiguous_strides(source.shape());
  dispatch_device<T>(source.device(), [&]<typename U>(auto& ctx) {
    kernels::copy_strided<U>(
        ctx, source.shape(), source.data<U>(), source.strides(), target, dense);
  });
}

// The same into memory of any device.
template <typename T>
void copy_to(const Tensor& source, Device device, T* target) {
  if (source.device() == device) return copy_out(source, target);
  if (DryRun::active()) return;
  ProfileScope profile(ProfileKind::kOp, "copy");
  const int64_t bytes = source.numel() * size_of(source.dtype());
  profile.count(2 * bytes);
  const Tensor dense = source.is_contiguous() ? source : source.clone();
  if (bytes > 0) copy_bytes(device, target, source.device(), dense.data<T>(), bytes);
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 0; })) {
    throw std::invalid_argument(
        fmt::format("{}: negative extent in shape {}", current_op(), to_string(shape)));
  }
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = Storage::allocate(oche::numel(shape) * size_of(dtype), device);
  impl->shape = shape;
  impl->strides = contiguous_strides(shape);
  impl->dtype = dtype;
  impl->device = device;
  return Tensor(std::move(impl));
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  ProfileScope profile(ProfileKind::kOp, "fill");
  Tensor t = empty(shape, dtype, device);
  profile.count(t.impl()->storage->bytes());
  dispatch_any(t, [&]<typename T>(auto& ctx) {
    kernels::fill<T>(ctx, t.numel(), static_cast<T>(value), t.mutable_data<T>());
  });
  return t;
}

template <typename T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  Tensor t = empty(shape, kDTypeOf<T>, device);
  if (static_cast<int64_t>(values.size()) != t.numel()) {
    throw std::invalid_argument(
        fmt::format("tensor: {} values for shape {}", values.size(), to_string(shape)));
  }
  if (!DryRun::active()) {
    const int64_t bytes = t.numel() * size_of(t.dtype());
    copy_bytes(device, t.mutable_data<T>(), Device(), values.data(), bytes);
  }
  return t;
}

const Shape& Tensor::shape() const {
  return checked(impl_).shape;
}
const Strides& Tensor::strides() const {
  return checked(impl_).strides;
}
int64_t Tensor::size(int dim) const {
  return shape()[normalize_dim("size", dim, shape())];
}
int64_t Tensor::numel() const {
  return oche::numel(shape());
}
DType Tensor::dtype() const {
  return checked(impl_).dtype;
}
Device Tensor::device() const {
  return checked(impl_).device;
}

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int i = rank(); i-- > 0;) {
    if (shape()[i] != 1 && strides()[i] != step) return false;
    step *= shape()[i];
  }
  return true;
}

template <typename T>
const T* Tensor::data() const {
  return reinterpret_cast<const T*>(first_byte(checked(impl_), kDTypeOf<T>));
}

template <typename T>
T* Tensor::mutable_data() const {
  auto* data = reinterpret_cast<T*>(first_byte(checked(impl_), kDTypeOf<T>));
  impl_->storage->bump_version();
  return data;
}

double Tensor::item() const {
  if (numel() != 1) {
    throw std::invalid_argument(
        fmt::format("item: shape {} has {} elements, not 1", to_string(shape()), numel()));
  }
  double value = 0;
  dispatch_any(*this, [&]<typename T>(auto&) {
    T element;
    copy_bytes(Device(), &element, device(), data<T>(), sizeof element);
    value = static_cast<double>(element);
  });
  return value;
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  std::vector<T> values(numel());
  copy_to<T>(*this, Device(), values.data());
  return values;
}

void Tensor::assign(const Tensor& source) const {
  if (source.shape() != shape() || source.dtype() != dtype() || !is_contiguous()) {
    throw std::invalid_argument(
        fmt::format("assign: {} {} into {} {}; expected the same shape and dtype, contiguous",
                    to_string(source.dtype()),
                    to_string(source.shape()),
                    to_string(dtype()),
                    to_string(shape())));
  }
  dispatch_any(*this, [&]<typename T>(auto&) { copy_to<T>(source, device(), mutable_data<T>()); });
}

bool Tensor::requires_grad() const {
  return impl_ && impl_->requires_grad;
}
bool Tensor::is_leaf() const {
  return !checked(impl_).node;
}

const Tensor& Tensor::set_requires_grad(bool value) const {
  if (!is_leaf())
    throw std::invalid_argument("set_requires_grad: only a leaf can be set; use detach()");
  if (value && !is_floating(dtype())) {
    throw std::invalid_argument(fmt::format(
        "set_requires_grad: dtype {} has no gradient; expected f32 or f64", to_string(dtype())));
  }
  impl_->requires_grad = value;
  return *this;
}

Tensor Tensor::grad() const {
  return checked(impl_).grad;
}
void Tensor::set_grad(const Tensor& value) const {
  checked(impl_);
  impl_->grad = value;
}

Tensor Tensor::detach() const {
  const TensorImpl& from = checked(impl_);
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = from.storage;
  impl->shape = from.shape;
  impl->strides = from.strides;
  impl->offset = from.offset;
  impl->dtype = from.dtype;
  impl->device = from.device;
  impl->absent = from.absent;
  return Tensor(std::move(impl));
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape(), dtype(), device());
  copy.assign(*this);
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return detach();
  Tensor copy = empty(shape(), dtype(), device);
  copy.assign(*this);
  return copy;
}

#define INSTANTIATE(T)                                                       \
  template Tensor Tensor::from<T>(std::span<const T>, const Shape&, Device); \
  template const T* Tensor::data<T>() const;                                 \
  template T* Tensor::mutable_data<T>() const;                               \
  template std::vector<T> Tensor::to_vector<T>() const;
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(int64_t)
INSTANTIATE(uint8_t)
#undef INSTANTIATE
template const kernels::BFloat16* Tensor::data<kernels::BFloat16>() const;
template kernels::BFloat16* Tensor::mutable_data<kernels::BFloat16>() const;

}  // namespace oche
