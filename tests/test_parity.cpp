// Parity with PyTorch: reads a state of the DARTS search network, with what PyTorch computed from
// it, and compares all of it. The committed fixture is tests/data/darts_state.safetensors
// (benchmarks/peers/README.md says how it is made); more files, of any layers, channels and batch,
// may be named in OCHE_PARITY_STATES (colon-separated).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "engine/autograd.h"
#include "engine/json.h"
#include "engine/ops.h"
#include "engine/tensor_file.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/source.h"

namespace oche::nas {
namespace {

constexpr double kEta = 0.025;  // the rate all expected values were made with

// The worst rows of a file, and the limits they must keep.
class Comparison {
 public:
  Comparison(const SafetensorsFile& file, DType dtype) : file_(file), dtype_(dtype) {}

  // Compares `actual` (memory layout) with the array <dtype>/<row>, relative to the array's largest
  // entry.
  void check(const std::string& row, const Tensor& actual, Layout layout = Layout::kPlain) {
    const std::string name = fmt::format("{}/{}", to_string(dtype_), row);
    seen_.insert(name);
    const std::vector<double> got = values(to_file_layout(actual.detach(), layout));
    const Tensor wanted_tensor = read_tensor(file_, name, actual.dtype());
    const std::vector<double> wanted = values(wanted_tensor);
    REQUIRE(got.size() == wanted.size());
    double largest = 0, worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      worst = std::max(worst, std::isfinite(got[i]) ? std::abs(got[i] - wanted[i]) : HUGE_VAL);
    }
    errors_[name] = largest > 0 ? worst / largest : worst;
  }

  // Images are NCHW in the file.
  void check_images(const std::string& row, const Tensor& nhwc) {
    check(row, contiguous(permute(nhwc, {0, 3, 1, 2})));
  }

  const std::map<std::string, double>& errors() const { return errors_; }
  // Arrays of this dtype that no check has looked at.
  std::vector<std::string> unseen() const {
    std::vector<std::string> names;
    for (const SafetensorsEntry& e : file_.entries()) {
      if (e.name.starts_with(fmt::format("{}/", to_string(dtype_))) && !seen_.count(e.name))
        names.push_back(e.name);
    }
    return names;
  }

 private:
  static std::vector<double> values(const Tensor& t) {
    return cast(contiguous(t), DType::kFloat64).to_vector<double>();
  }

  const SafetensorsFile& file_;
  DType dtype_;
  std::map<std::string, double> errors_;
  std::set<std::string> seen_;
};

// One search network in the state of the file, in one precision.
class Peer {
 public:
  Peer(const SafetensorsFile& file, DType dtype, const std::string& gradient, bool momentum)
      : file_(file),
        state_(config(file, dtype, gradient), 3, 10),
        train_(batch("train", dtype)),
        validation_(batch("val", dtype)) {
    read_parameters(state_.network.named_parameters(), file, "w/");
    state_.arch.normal().assign(read_tensor(file, "alpha/normal", dtype));
    state_.arch.reduce().assign(read_tensor(file, "alpha/reduce", dtype));
    if (!momentum) return;
    const Weights weights = state_.network.weights();
    for (size_t i = 0; i < weights.size(); ++i) {
      state_.sgd.momentum_buffers()[i].assign(
          read_tensor(file, "momentum/" + weights.name(i), dtype, weights[i].layout));
    }
  }

  void compare_first_order(Comparison& c, const std::string& half) {
    const Batch& b = half == "train" ? train_ : validation_;
    std::vector<BufferUpdate> statistics;
    const Tensor logits =
        state_.network.forward(b.images,
                               state_.mixtures(),
                               {.updates = half == "train" ? &statistics : nullptr},
                               [&](size_t i, const Tensor& y) {
                                 c.check_images(fmt::format("{}/cell_out/{}", half, i), y);
                               });
    const Tensor loss = cross_entropy(logits, b.labels);
    c.check(half + "/logits", logits);
    c.check(half + "/loss", loss);
    const Weights weights = state_.network.weights();
    std::vector<Tensor> inputs = weights.tensors();
    for (const Tensor& a : state_.arch.alphas().tensors()) inputs.push_back(a);
    const std::vector<Tensor> g = defined_or_zeros(grad(loss, inputs), inputs);
    for (size_t i = 0; i < weights.size(); ++i)
      c.check(fmt::format("{}/dw/{}", half, weights.name(i)), g[i], weights[i].layout);
    c.check(half + "/dalpha/normal", g[weights.size()]);
    c.check(half + "/dalpha/reduce", g[weights.size() + 1]);
    apply(statistics);
    if (half == "train") {
      for (const NamedBuffer& b : state_.network.named_buffers())
        c.check("train/buffer_after/" + b.name, b.tensor);
    }
  }

  void compare_arch_gradient(Comparison& c, const std::string& row) {
    const ArchGradientResult r =
        estimator_->compute(state_.bilevel(train_, validation_, 0), state_.inner_step(kEta));
    c.check(row + "/normal", r.gradients[0]);
    c.check(row + "/reduce", r.gradients[1]);
  }

  void compare_steps(Comparison& c, const std::string& row) {
    for (int i = 0; i < 3; ++i) {
      const SearchState::StepResult r = state_.step(train_, validation_, kEta, i);
      const DType dtype = state_.arch.normal().dtype();
      c.check(fmt::format("{}/{}/loss", row, i), Tensor::full({}, r.train_loss, dtype));
      c.check(fmt::format("{}/{}/alpha/normal", row, i), state_.arch.normal());
      c.check(fmt::format("{}/{}/alpha/reduce", row, i), state_.arch.reduce());
    }
    const Weights weights = state_.network.weights();
    for (size_t i = 0; i < weights.size(); ++i)
      c.check(
          fmt::format("{}/final_w/{}", row, weights.name(i)), weights[i].value, weights[i].layout);
  }

 private:
  SearchConfig config(const SafetensorsFile& file, DType dtype, const std::string& gradient) {
    SearchConfig c;
    c.layers = std::stoll(file.metadata().at("layers"));
    c.channels = std::stoll(file.metadata().at("channels"));
    c.gradient = gradient;
    c.dtype = dtype;
    estimator_ = make_arch_gradient(gradient, {.radius = c.radius});
    return c;
  }
  Batch batch(const std::string& half, DType dtype) const {
    return {contiguous(permute(read_tensor(file_, "x_" + half, dtype), {0, 2, 3, 1})),
            read_tensor(file_, "y_" + half, DType::kInt64)};
  }

  const SafetensorsFile& file_;
  std::unique_ptr<ArchGradient> estimator_;
  SearchState state_;
  Batch train_, validation_;
};

Comparison compare_everything(const SafetensorsFile& file, DType dtype) {
  Comparison c(file, dtype);
  for (const char* half : {"train", "val"})
    Peer(file, dtype, "first-order", false).compare_first_order(c, half);
  for (bool momentum : {false, true}) {
    const std::string row = momentum ? "second_order_momentum" : "second_order";
    Peer(file, dtype, "finite-difference", momentum).compare_arch_gradient(c, row + "/dalpha");
    Peer(file, dtype, "exact-unrolled", momentum).compare_arch_gradient(c, row + "/dalpha_exact");
  }
  Peer(file, dtype, "first-order", false).compare_steps(c, "steps_order1");
  Peer(file, dtype, "finite-difference", false).compare_steps(c, "steps_order2");
  return c;
}

bool contains(const std::string& row, std::string_view part) {
  return row.find(part) != std::string::npos;
}

bool uses_finite_difference(const std::string& row) {
  return contains(row, "steps_order2") ||
         (contains(row, "second_order") && contains(row, "/dalpha/"));
}
bool is_first_order(const std::string& row) {
  return !contains(row, "second_order") && !contains(row, "steps_order2");
}

void print_worst(const std::string& source, const Comparison& c) {
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [row, error] : c.errors()) rows.emplace_back(error, row);
  std::sort(rows.rbegin(), rows.rend());
  fmt::print("{}: {} rows; worst:\n", source, rows.size());
  for (size_t i = 0; i < std::min<size_t>(4, rows.size()); ++i)
    fmt::print("  {:.2e}  {}\n", rows[i].first, rows[i].second);
}

void check_file(const std::string& path, bool float32_limits) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  CAPTURE(path);

  const Comparison f64 = compare_everything(file, DType::kFloat64);
  print_worst(path + " f64", f64);
  CHECK(f64.unseen() == std::vector<std::string>{});
  for (const auto& [row, error] : f64.errors()) {
    CAPTURE(row);
    CHECK(error <= (uses_finite_difference(row) ? 1e-8 : 1e-10));
  }

  const Comparison f32 = compare_everything(file, DType::kFloat32);
  print_worst(path + " f32", f32);
  CHECK(f32.unseen() == std::vector<std::string>{});
  if (!float32_limits) return;
  for (const auto& [row, error] : f32.errors()) {
    CAPTURE(row);
    if (is_first_order(row)) CHECK(error <= 5e-5);
  }
}

}  // namespace

TEST_CASE("everything that PyTorch computes from the committed state, we compute") {
  check_file(test_data("darts_state.safetensors"), true);
}

TEST_CASE("the same on the files named in OCHE_PARITY_STATES") {
  const char* states = std::getenv("OCHE_PARITY_STATES");
  if (!states) return;
  std::istringstream list(states);
  for (std::string path; std::getline(list, path, ':');) {
    if (!path.empty()) check_file(path, false);
  }
}

}  // namespace oche::nas
