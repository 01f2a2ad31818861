// One search step on a batch of noise, small enough to be repeated hundreds of times.
#pragma once

#include <string>
#include <vector>

#include "engine/random.h"
#include "nas/search.h"

namespace oche::test {

struct StepCase {
  explicit StepCase(const nas::SearchConfig& config, int64_t size = 8)
      : config(config), train(noise(1, size)), validation(noise(2, size)) {}

  nas::SearchState::StepResult step(nas::SearchState& state) const {
    return state.step(train, validation, config.lr, 3);
  }

  nas::SearchConfig config;
  nas::Batch train, validation;

 private:
  nas::Batch noise(uint64_t seed, int64_t size) const {
    RandomWords words(random_key(seed, 0, Purpose::kPerturb), 0);
    std::vector<float> pixels;
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < config.batch * size * size * 3; ++i)
      pixels.push_back(static_cast<float>(words.next()) / 2147483648.0f - 1);
    for (int64_t i = 0; i < config.batch; ++i) labels.push_back(words.below(10));
    return {Tensor::from(pixels, {config.batch, size, size, 3}),
            Tensor::from(labels, {config.batch})};
  }
};

}  // namespace oche::test
