// Several tensors as one vector of doubles on the host: what solvers and eigenvalue iterations work
// with.
#pragma once

#include <vector>

#include "engine/tensor.h"

namespace oche {

using Vector = std::vector<double>;

// Row-major, one tensor after the other.
Vector flatten(const std::vector<Tensor>& tensors);
// The inverse: shapes, dtypes and device are those of `like`, whose elements are as many.
std::vector<Tensor> unflatten(const Vector& values, const std::vector<Tensor>& like);

double dot(const Vector& a, const Vector& b);
double norm(const Vector& a);
void add(Vector& to, double scale, const Vector& v);  // to += scale * v

}  // namespace oche
