// Tensor: a handle on a strided view of a storage, with what autograd needs to know about it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/shape.h"
#include "engine/storage.h"
#include "engine/types.h"

namespace oche {

class Node;  // one applied op in the graph (op.h)
struct TensorImpl;

// Copying a Tensor copies the handle; both name the same elements. Default-constructed: undefined,
// which as a gradient means zero.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  static Tensor empty(const Shape& shape, DType dtype, Device device = default_device());
  static Tensor full(const Shape& shape,
                     double value,
                     DType dtype,
                     Device device = default_device());
  static Tensor zeros(const Shape& shape, DType dtype, Device device = default_device()) {
    return full(shape, 0, dtype, device);
  }
  static Tensor ones(const Shape& shape, DType dtype, Device device = default_device()) {
    return full(shape, 1, dtype, device);
  }
  // A copy of `values`, row-major; throws when their number is not that of `shape`.
  template <typename T>
  static Tensor from(std::span<const T> values,
                     const Shape& shape,
                     Device device = default_device());
  template <typename T>
  static Tensor from(const std::vector<T>& values,
                     const Shape& shape,
                     Device device = default_device()) {
    return from(std::span<const T>(values), shape, device);
  }

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }

  const Shape& shape() const;
  const Strides& strides() const;
  int64_t size(int dim) const;  // negative dims count from the back
  int rank() const { return static_cast<int>(shape().size()); }
  int64_t numel() const;
  DType dtype() const;
  Device device() const;
  bool is_contiguous() const;

  // The first element, in the memory of device(). T must be the element type. Throws when this
  // tensor was not saved for backward, or released since.
  template <typename T>
  const T* data() const;
  // The same, for writing: counts as a modification, which tensors saved for backward notice.
  template <typename T>
  T* mutable_data() const;

  double item() const;  // the only element of a one-element tensor
  template <typename T>
  std::vector<T> to_vector() const;  // row-major; T must be the element type
  // Overwrites the elements with those of `source` (same shape and dtype, any device), outside
  // autograd.
  void assign(const Tensor& source) const;

  // True iff gradients flow to this tensor: it is a leaf that asks for them, or was computed from
  // one.
  bool requires_grad() const;
  const Tensor& set_requires_grad(bool value) const;  // leaves only
  bool is_leaf() const;
  Tensor grad() const;  // accumulated by backward(); leaves only
  void set_grad(const Tensor& value) const;
  Tensor detach() const;           // the same elements, outside the graph
  Tensor clone() const;            // a contiguous copy, outside the graph
  Tensor to(Device device) const;  // the same on another device, outside the graph

  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<TensorImpl> impl_;
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;  // null: a stand-in that knows its shape only (see Node)
  Shape shape;
  Strides strides;
  int64_t offset = 0;  // elements
  DType dtype = DType::kFloat32;
  Device device;

  bool requires_grad = false;
  std::shared_ptr<Node> node;  // the op this is an output of; null for leaves
  int output = 0;              // which output
  Tensor grad;
  std::string_view absent;  // for a stand-in: why there is no data
};

}  // namespace oche
