// What a study of gradients is of: a search held still, or a problem with a known answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nas/arch_gradient.h"
#include "nas/genotype.h"
#include "nas/gradient_error.h"
#include "tools/frozen_search.h"

namespace oche::tools {

struct Subject {
  std::string source;
  int64_t epoch = 0, step = 0;
  DType dtype = DType::kFloat64;
  double rate = 0;            // of the inner step, if not asked for otherwise
  int64_t batch = 0;          // images of a batch, likewise; 0: there are none
  bool own_batches = false;   // of that size and no other
  int64_t train_batches = 1;  // that several inner steps take in turn, from that of the pair on
  double smooth = 0;          // of SmoothRelu; 0: relu
  std::optional<bool> fused;  // cells are; of a toy, which has none, nothing
  // Why nothing here is a derivative; empty where it is.
  std::string fault;
  std::vector<nas::AlphaEntry> entries;
  std::vector<std::pair<std::string, Shape>> alphas;  // what the entries make, in order
  int64_t weights = 0;
  std::vector<double> closed_form;  // the hypergradient, where it is known on paper
  std::function<nas::Bilevel(int64_t pair, int64_t batch)> problem;
  std::function<nas::InnerStep(double rate)> inner_step;
  // The cells that the alphas make when they are moved by this much; undefined for a toy.
  std::function<nas::Genotype(const Vector& move)> derive;
};
Subject subject_of(std::shared_ptr<FrozenSearch> search, int64_t train_batches);
Subject toy_subject(std::string_view problem, DType dtype);

}  // namespace oche::tools
