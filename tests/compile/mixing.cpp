// Compiled by CMake, not run: without MIX this builds; with MIX=1..3 it hands one kind of
// parameters to what is made for the other, and must not build.
#include "engine/optim.h"
#include "nas/arch_gradient.h"

using namespace oche;

void sgd_of_weights(Weights weights) {
  Sgd sgd(std::move(weights), {});
}
void adam_of_alphas(Alphas alphas) {
  Adam adam(std::move(alphas), {});
}

#if MIX == 1
void sgd_of_alphas(Alphas alphas) {
  Sgd sgd(std::move(alphas), {});
}
#elif MIX == 2
void adam_of_weights(Weights weights) {
  Adam adam(std::move(weights), {});
}
#elif MIX == 3
nas::Bilevel swapped(Weights weights, Alphas alphas) {
  return {.weights = std::move(alphas),
          .alphas = std::move(weights),
          .train_loss = {},
          .validation_loss = {}};
}
#endif

int main() {}
