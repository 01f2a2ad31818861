// Search steps on batches of noise, and all that a step may change.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "nas/search.h"

namespace oche::test {

inline nas::Batch random_batch(const Shape& images, uint64_t seed, DType dtype = DType::kFloat32) {
  std::vector<double> pixels;
  std::vector<int64_t> labels;
  RandomWords words(random_key(seed, 0, Purpose::kPerturb), 0);
  for (int64_t i = 0; i < numel(images); ++i) pixels.push_back(words.next() / 2147483648.0 - 1);
  for (int64_t i = 0; i < images[0]; ++i) labels.push_back(words.below(10));
  return {cast(Tensor::from(pixels, images), dtype), Tensor::from(labels, {images[0]})};
}

inline nas::Batch random_batch(int64_t n,
                               int64_t size,
                               uint64_t seed,
                               DType dtype = DType::kFloat32) {
  return random_batch({n, size, size, 3}, seed, dtype);
}

// Every bit that a step may change; of f32 as of f64.
using Snapshot = std::vector<std::vector<double>>;
inline Snapshot snapshot(nas::SearchState& s) {
  Snapshot all{{static_cast<double>(s.adam.steps())}};
  const auto add = [&](const Tensor& t) {
    all.push_back(cast(t.detach(), DType::kFloat64).to_vector<double>());
  };
  for (const auto& [name, p] : s.network.named_parameters()) add(p->value);
  for (const auto& b : s.network.named_buffers()) add(b.tensor);
  for (const Tensor& t : s.arch.alphas().tensors()) add(t);
  for (const Tensor& t : s.sgd.momentum_buffers()) add(t);
  for (const Tensor& t : s.adam.first_moments()) add(t);
  for (const Tensor& t : s.adam.second_moments()) add(t);
  return all;
}

}  // namespace oche::test
