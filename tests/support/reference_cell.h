// Naive references of the passes of a fused cell, written from the equations in
// kernels/mixed_cell.h: elements of T, all arithmetic in double, one loop each.
#pragma once

#include <vector>

#include "kernels/mixed_cell.h"

namespace oche::ref {

template <typename T>
void cell_source_forward(const kernels::CellShape& shape,
                         const std::vector<kernels::CellSourceForward<T>>& sources);
template <typename T>
void cell_node_forward(const kernels::CellShape& shape,
                       const std::vector<kernels::CellTerm<T>>& terms,
                       const T* weights,
                       kernels::Pixels<T> y);
template <typename T>
void cell_node_reduce(const kernels::CellShape& shape,
                      const std::vector<kernels::CellTerm<T>>& terms,
                      kernels::Pixels<const T> g,
                      T* sums,
                      T* grad_weights);
template <typename T>
void cell_source_backward(const kernels::CellShape& shape,
                          const std::vector<kernels::CellSourceBackward<T>>& sources);

}  // namespace oche::ref
