// What kernel rows are made of: buffers filled with samples, tolerances, comparisons.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "benchmarks/device_memory.h"
#include "benchmarks/launch.h"
#include "benchmarks/row.h"
#include "tests/support/values.h"

namespace oche::bench {

// A handle on n elements in the memory of the default device: copies share them.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::vector<T> values) : size_(values.size()) {
    if (on_cuda()) {
      memory_ = on_default_device(values.data(), size_ * sizeof(T));
    } else {
      const auto kept = std::make_shared<std::vector<T>>(std::move(values));
      memory_ = {kept, kept->data()};
    }
  }

  T* data() const { return static_cast<T*>(memory_.get()); }
  std::vector<T> values() const {  // a copy
    std::vector<T> values(size_);
    const auto size = static_cast<int64_t>(size_ * sizeof(T));
    copy_bytes({}, values.data(), default_device(), data(), size);
    return values;
  }
  ref::Values reference() const { return as_values(values()); }
  double bytes() const { return static_cast<double>(size_ * sizeof(T)); }

 private:
  std::shared_ptr<void> memory_;
  size_t size_ = 0;
};

template <typename T>
Buffer<T> input(int64_t n, double low = -1, double high = 1, uint32_t seed = 1) {
  return Buffer<T>(as<T>(random_values(n, low, high, seed)));
}
template <typename T>
Buffer<T> output(int64_t n) {
  return Buffer<T>(poison<T>(n));
}

// A sum of `terms` products of magnitude about one, and a few roundings more.
template <typename T>
constexpr double tolerance(int64_t terms) {
  return kEpsilon<T> * (static_cast<double>(terms) + 64);
}

template <typename T>
Check compare(const Buffer<T>& got, const ref::Values& want, double tolerance) {
  return {worst_error(got.values(), want), tolerance, "naive float64 reference"};
}

// Of several outputs the one that fares worst.
inline Check worst(const std::vector<Check>& checks) {
  const Check* worst = checks.data();
  for (const Check& c : checks) {
    if (!c.passed() || c.error / c.tolerance > worst->error / worst->tolerance) worst = &c;
    if (!c.passed()) break;
  }
  return *worst;
}

// make.operator()<float>(arguments) or <double>.
template <typename Make>
auto for_dtype(Make make) {
  return [make](const Arguments& a, DType dtype) -> Case {
    return dtype == DType::kFloat32 ? make.template operator()<float>(a)
                                    : make.template operator()<double>(a);
  };
}

// The shapes of the three stages of a DARTS network on CIFAR-10, batch 64.
inline const std::vector<Instance> kStages = {{{"n", 64}, {"h", 32}, {"w", 32}, {"c", 16}},
                                              {{"n", 64}, {"h", 16}, {"w", 16}, {"c", 32}},
                                              {{"n", 64}, {"h", 8}, {"w", 8}, {"c", 64}}};

// Each of `instances` with each of `variants` added.
inline std::vector<Instance> product(const std::vector<Instance>& instances,
                                     const std::vector<Instance>& variants) {
  std::vector<Instance> all;
  for (const Instance& instance : instances) {
    for (const Instance& variant : variants) {
      all.push_back(instance);
      all.back().insert(all.back().end(), variant.begin(), variant.end());
    }
  }
  return all;
}

// An activation in NHWC, of the first stage unless told otherwise.
inline std::vector<Parameter> image_parameters(const std::vector<Parameter>& more = {}) {
  std::vector<Parameter> all = {{"n", 64}, {"h", 32}, {"w", 32}, {"c", 16}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
inline int64_t image_size(const Arguments& a) {
  return volume({a["n"], a["h"], a["w"], a["c"]});
}

}  // namespace oche::bench
