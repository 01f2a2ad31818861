// Modules, their parameters and buffers, and the two kinds of parameter set that never mix: weights
// and alphas.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/random.h"
#include "engine/tensor.h"

namespace oche {

// How a tensor is stored in files. In memory a convolution weight is (kernel_h, kernel_w,
// in/groups, out).
enum class Layout { kPlain, kConvWeight };
// A view of `t` in file order: convolution weights become (out, in/groups, kernel_h, kernel_w).
Tensor to_file_layout(const Tensor& t, Layout layout);
// A view of `t` in memory order: the inverse.
Tensor from_file_layout(const Tensor& t, Layout layout);
Shape file_shape(const Shape& shape, Layout layout);

// The starting value: uniform in [-bound, bound), or a constant.
struct Initialisation {
  double bound = 0, constant = 0;
};

struct Parameter {
  Tensor value;  // a leaf that requires a gradient
  Layout layout = Layout::kPlain;
  Initialisation init = {};
};

struct NamedParameter {
  std::string name;
  Parameter* parameter;
};
struct NamedBuffer {
  std::string name;
  Tensor tensor;
};

// What batch normalisation uses in a forward pass: the batch's own statistics or the running ones.
enum class Statistics { kBatch, kRunning };

// How a buffer is to move. A forward pass moves nothing: whoever knows that the pass counts does.
struct BufferUpdate {
  Tensor buffer;
  Tensor batch;      // undefined: the buffer, an i64 on the CPU, counts one more
  double share = 0;  // buffer = (1 - kRunningMomentum) * buffer + share * batch
};
inline constexpr double kRunningMomentum = 0.1;
void apply(const std::vector<BufferUpdate>& updates);
// The statistics of them alone; where `gate` is defined, an i64 of one element on their device,
// only if it is 0. Allocates no tensor.
void move_statistics(const std::vector<BufferUpdate>& updates, const Tensor& gate = {});
// The counters of them alone.
std::vector<Tensor> counters_of(const std::vector<BufferUpdate>& updates);
void count(const std::vector<Tensor>& counters);

// A forward pass: what its layers may look at besides their input.
struct Pass {
  Statistics statistics = Statistics::kBatch;
  std::vector<BufferUpdate>* updates = nullptr;  // takes the next running statistics, if wanted
  int64_t step = 0;  // with the phase, addresses the random numbers of the pass
  Phase phase = Phase::kNone;
  const int64_t* step_at = nullptr;  // where `step` lies on the device, if it does

  RandomAddress random(const RandomKey& key) const { return {key, step, phase, step_at}; }
};

// A part of a network that owns parameters, buffers and further modules. Names and order are those
// of a PyTorch state_dict whose modules register the same things in the same order: own parameters,
// own buffers, then the children.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  std::vector<NamedParameter> named_parameters();
  std::vector<NamedBuffer> named_buffers() const;

 protected:
  Parameter& add_parameter(std::string name,
                           const Shape& shape,
                           DType dtype,
                           Initialisation init,
                           Layout layout = Layout::kPlain);
  Tensor add_buffer(std::string name, Tensor value);
  template <typename M, typename... Args>
  M& add_module(std::string name, Args&&... args) {
    return adopt_module(std::move(name), std::make_unique<M>(std::forward<Args>(args)...));
  }
  template <typename M>
  M& adopt_module(std::string name, std::unique_ptr<M> module) {
    M& reference = *module;
    children_.emplace_back(std::move(name), std::move(module));
    return reference;
  }

 private:
  void collect(const std::string& prefix, std::vector<NamedParameter>& parameters);
  void collect(const std::string& prefix, std::vector<NamedBuffer>& buffers) const;

  std::vector<std::pair<std::string, std::unique_ptr<Parameter>>> parameters_;
  std::vector<NamedBuffer> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
};

// Draws every parameter anew: element i, counted in file order, of the parameter called `name` is a
// function of (seed, name, i), whatever else the network holds.
void initialise(const std::vector<NamedParameter>& parameters, uint64_t seed);

// Parameters of one kind, in file order. Weights and alphas are different types, so that an
// optimiser or a gradient made for one kind does not accept the other.
template <typename Kind>
class ParameterSet {
 public:
  ParameterSet() = default;
  explicit ParameterSet(std::vector<NamedParameter> parameters)
      : parameters_(std::move(parameters)) {}

  size_t size() const { return parameters_.size(); }
  const std::string& name(size_t i) const { return parameters_[i].name; }
  Parameter& operator[](size_t i) const { return *parameters_[i].parameter; }

  std::vector<Tensor> tensors() const {
    std::vector<Tensor> values;
    for (const NamedParameter& p : parameters_) values.push_back(p.parameter->value);
    return values;
  }
  int64_t numel() const {
    int64_t n = 0;
    for (const NamedParameter& p : parameters_) n += p.parameter->value.numel();
    return n;
  }

 private:
  std::vector<NamedParameter> parameters_;
};
using Weights = ParameterSet<struct WeightKind>;
using Alphas = ParameterSet<struct AlphaKind>;

// Puts other tensors in the place of a set's values for a scope. The originals are not touched, so
// leaving the scope restores them to the bit: virtual steps, probes and frozen passes are all
// substitutions.
template <typename Kind>
class Substitution {
 public:
  Substitution(const ParameterSet<Kind>& set, const std::vector<Tensor>& values)
      : set_(set), originals_(set.tensors()) {
    put(values);
  }
  ~Substitution() { put(originals_); }
  Substitution(const Substitution&) = delete;
  Substitution& operator=(const Substitution&) = delete;

 private:
  void put(const std::vector<Tensor>& values) {
    for (size_t i = 0; i < set_.size(); ++i) set_[i].value = values.at(i);
  }

  const ParameterSet<Kind> set_;
  const std::vector<Tensor> originals_;
};

// The same values outside the graph.
std::vector<Tensor> detached(const std::vector<Tensor>& tensors);
// Fresh leaves over copies of the same values.
std::vector<Tensor> detached_leaves(const std::vector<Tensor>& tensors);

// A pass through constant parameters: no gradient reaches them, and nothing is saved for one.
template <typename Kind>
struct Frozen : Substitution<Kind> {
  explicit Frozen(const ParameterSet<Kind>& set)
      : Substitution<Kind>(set, detached(set.tensors())) {}
};

}  // namespace oche
