// Tensors: shapes, strides, views, access.
#include "engine/ops.h"
#include "engine/tensor.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

Tensor counting(const Shape& shape) {  // 0, 1, 2, ...
  std::vector<double> values(numel(shape));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return Tensor::from(values, shape);
}

using Doubles = std::vector<double>;

}  // namespace

TEST_CASE("shapes: extents, strides, splits") {
  CHECK(numel({}) == 1);
  CHECK(numel({3, 0, 2}) == 0);
  CHECK(contiguous_strides({2, 3, 4}) == Strides{12, 4, 1});
  CHECK(contiguous_strides({}) == Strides{});
  CHECK(to_string(Shape{2, 5}) == "(2, 5)");
  CHECK(normalize_dim("op", -1, {2, 5}) == 1);
  CHECK_THROWS_WITH(normalize_dim("softmax", 3, {2, 5}),
                    "softmax: dim 3 is out of range for shape (2, 5); expected -2 <= dim < 2");
  CHECK(broadcast_shapes("op", {2, 1, 4}, {3, 1}) == Shape{2, 3, 4});
  CHECK(broadcast_shapes("op", {1}, {0}) == Shape{0});
  CHECK_THROWS_AS(broadcast_shapes("op", {2}, {0}), std::invalid_argument);
  const Split s = split_at({2, 3, 4, 5}, 1);
  CHECK((s.outer == 2 && s.n == 3 && s.inner == 20));
}

TEST_CASE("factories fill every dtype") {
  CHECK(Tensor::full({2, 2}, 1.5, DType::kFloat32).to_vector<float>() ==
        std::vector<float>(4, 1.5F));
  CHECK(Tensor::ones({3}, DType::kFloat64).to_vector<double>() == Doubles(3, 1));
  CHECK(Tensor::full({2}, -7, DType::kInt64).to_vector<int64_t>() == std::vector<int64_t>(2, -7));
  CHECK(Tensor::zeros({2}, DType::kUInt8).to_vector<uint8_t>() == std::vector<uint8_t>(2, 0));
  CHECK(counting({2, 3}).shape() == Shape{2, 3});
  CHECK_THROWS_WITH(Tensor::from(Doubles{1, 2}, {3}), "tensor: 2 values for shape (3)");
  CHECK_THROWS_AS(Tensor::empty({2, -1}, DType::kFloat32), std::invalid_argument);
}

TEST_CASE("an undefined tensor has no properties") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK_FALSE(none.requires_grad());
  CHECK_THROWS_AS(none.shape(), std::invalid_argument);
  CHECK_THROWS_AS(none.item(), std::invalid_argument);
}

TEST_CASE("data is read as the element type only") {
  const Tensor t = counting({2});
  CHECK_THROWS_WITH(t.data<float>(), "tensor: data of dtype f64 read as f32");
  CHECK_THROWS_AS(t.mutable_data<int64_t>(), std::invalid_argument);
  CHECK_THROWS_AS(t.to_vector<uint8_t>(), std::invalid_argument);
  CHECK(t.to_vector<double>()[1] == 1);
}

TEST_CASE("item is the only element, whatever its dtype") {
  CHECK(Tensor::full({}, 2.5, DType::kFloat32).item() == 2.5);
  CHECK(Tensor::full({1, 1}, 3, DType::kInt64).item() == 3);
  CHECK(slice(counting({4}), 0, 2, 3).item() == 2);
  CHECK_THROWS_WITH(counting({2}).item(),
                    Catch::Matchers::Equals("item: shape (2) has 2 elements, not 1"));
}

TEST_CASE("views name the same elements") {
  const Tensor t = counting({2, 3, 4});
  const Tensor p = permute(t, {2, 0, 1});
  CHECK(p.shape() == Shape{4, 2, 3});
  CHECK(p.strides() == Strides{1, 12, 4});
  CHECK_FALSE(p.is_contiguous());
  const Tensor s = slice(t, 2, 1, 4, 2);
  CHECK(s.strides() == Strides{12, 4, 2});
  CHECK(s.to_vector<double>() == Doubles{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23});
  const Tensor b = broadcast_to(slice(t, 0, 1, 2), {5, 3, 4});
  CHECK(b.strides() == Strides{0, 4, 1});
  const Tensor r = reshape(t, {6, 4});
  for (const Tensor& view : {p, s, b, r, t.detach()})
    CHECK(view.impl()->storage == t.impl()->storage);

  slice(slice(slice(t, 0, 0, 1), 1, 0, 1), 2, 1, 2)
      .assign(Tensor::full({1, 1, 1}, 100, DType::kFloat64));
  CHECK(s.to_vector<double>()[0] == 100);
  CHECK(p.to_vector<double>()[6] == 100);
  CHECK(r.to_vector<double>()[1] == 100);
}

TEST_CASE("reshaping or packing a strided view copies") {
  const Tensor t = counting({2, 3});
  const Tensor p = permute(t, {1, 0});
  CHECK(reshape(p, {6}).to_vector<double>() == Doubles{0, 3, 1, 4, 2, 5});
  CHECK(contiguous(p).impl()->storage != t.impl()->storage);
  CHECK(contiguous(t).impl() == t.impl());
  CHECK(reshape(t, {2, 3}).impl() == t.impl());
  CHECK(permute(counting({1, 3}), {1, 0})
            .is_contiguous());  // an extent of 1 has no stride to speak of
}

TEST_CASE("empty tensors go through everything") {
  const Tensor t = counting({2, 0, 3});
  CHECK(t.numel() == 0);
  CHECK(t.is_contiguous());
  CHECK(t.to_vector<double>().empty());
  CHECK(permute(t, {2, 1, 0}).clone().shape() == Shape{3, 0, 2});
  CHECK(reshape(t, {0}).shape() == Shape{0});
  CHECK(sum(t, 1).to_vector<double>() == Doubles(6, 0));
  CHECK(sum(t).item() == 0);
}

TEST_CASE("clone and assign copy through strides") {
  const Tensor t = counting({2, 3});
  const Tensor p = permute(t, {1, 0});
  const Tensor c = p.clone();
  CHECK(c.is_contiguous());
  CHECK(c.to_vector<double>() == p.to_vector<double>());
  CHECK(c.impl()->storage != t.impl()->storage);

  const Tensor target = Tensor::zeros({3, 2}, DType::kFloat64);
  target.assign(p);
  CHECK(target.to_vector<double>() == Doubles{0, 3, 1, 4, 2, 5});
  CHECK_THROWS_AS(target.assign(t), std::invalid_argument);
  CHECK_THROWS_AS(target.assign(cast(p, DType::kFloat32)), std::invalid_argument);
  CHECK_THROWS_AS(p.assign(target), std::invalid_argument);  // p is not contiguous
}

TEST_CASE("casts between all dtypes") {
  const Tensor t = Tensor::from(Doubles{0, 1.75, 200}, {3});
  CHECK(cast(t, DType::kInt64).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 200});
  CHECK(cast(t, DType::kUInt8).to_vector<uint8_t>() == std::vector<uint8_t>{0, 1, 200});
  CHECK(cast(cast(t, DType::kUInt8), DType::kFloat32).to_vector<float>() ==
        std::vector<float>{0, 1, 200});
  CHECK(cast(t, DType::kFloat64).impl() == t.impl());
}

TEST_CASE("only a floating leaf can ask for a gradient") {
  const Tensor t = counting({2});
  CHECK(t.is_leaf());
  CHECK(t.set_requires_grad(true).requires_grad());
  CHECK_FALSE(t.clone().requires_grad());
  CHECK_FALSE(t.detach().requires_grad());
  const Tensor y = t * 2.0;
  CHECK(y.requires_grad());
  CHECK_FALSE(y.is_leaf());
  CHECK_THROWS_AS(y.set_requires_grad(false), std::invalid_argument);
  CHECK_THROWS_AS(Tensor::zeros({2}, DType::kInt64).set_requires_grad(true), std::invalid_argument);
}

TEST_CASE("the maximum names its first place") {
  const Tensor x = Tensor::from(Doubles{1, 7, 7, 3, 5, 5}, {2, 3});
  CHECK(max(x, 1).values.to_vector<double>() == Doubles{7, 5});
  CHECK(max(x, 1).indices.to_vector<int64_t>() == std::vector<int64_t>{1, 1});
  CHECK(max(x, 0).indices.to_vector<int64_t>() == std::vector<int64_t>{1, 0, 0});
  CHECK(max(x, 0, /*keepdim=*/true).indices.shape() == Shape{1, 3});
}
