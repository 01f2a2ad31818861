// Tensors as vectors of doubles.
#include "engine/flat.h"

#include <cmath>
#include <numeric>

#include "engine/op.h"
#include "engine/ops.h"

namespace oche {

Vector flatten(const std::vector<Tensor>& tensors) {
  Vector values;
  for (const Tensor& t : tensors) {
    const Vector part = cast(t.detach(), DType::kFloat64).to_vector<double>();
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

std::vector<Tensor> unflatten(const Vector& values, const std::vector<Tensor>& like) {
  const NoGrad no_grad;
  std::vector<Tensor> tensors;
  auto at = values.begin();
  for (const Tensor& t : like) {
    tensors.push_back(cast(Tensor::from(Vector(at, at + t.numel()), t.shape()), t.dtype()));
    at += t.numel();
  }
  return tensors;
}

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double norm(const Vector& a) {
  return std::sqrt(dot(a, a));
}

void add(Vector& to, double scale, const Vector& v) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += scale * v[i];
}

}  // namespace oche
