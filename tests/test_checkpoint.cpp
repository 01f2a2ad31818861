// Checkpoints, weight files, and the states loaded from them.
#include <cmath>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/tensor_file.h"
#include "nas/checkpoint.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

SearchState another_state(int64_t channels = 2, int64_t layers = 3) {
  SearchConfig c = tiny_config();
  c.seed = 7;
  c.channels = channels;
  c.layers = layers;
  return SearchState(c, 3, 10);
}

std::string load_refusal(SearchState& state, const fs::path& path) {
  return message_of<FormatError>([&] { load_initial_state(state, SafetensorsFile::open(path)); });
}

std::string alpha_refusal(const SafetensorsWriter& writer) {
  const SafetensorsFile file(writer.contents(), "a.safetensors");
  return message_of<FormatError>([&] { read_alphas(file); });
}

SafetensorsWriter alpha_file(const std::string& prefix, int64_t rows, int64_t columns) {
  SafetensorsWriter writer;
  for (const char* type : {"normal", "reduce"}) {
    writer.add(prefix + type, {rows, columns}, std::vector<double>(rows * columns, 0.5));
  }
  return writer;
}

}  // namespace

TEST_CASE("a checkpoint verifies and holds what the search goes on from") {
  TinyRun& t = tiny();
  const SafetensorsFile file = SafetensorsFile::open(t.file("ckpt/epoch-0002.safetensors"));
  verify_checksum(file);
  for (const auto& [key, value] : {std::pair{"kind", "oche-checkpoint"},
                                   {"schema", "1"},
                                   {"epoch", "2"},
                                   {"step", "8"},
                                   {"adam_step", "8"},
                                   {"seed", "0"},
                                   {"relaxation", "softmax"},
                                   {"decision", "top2"},
                                   {"threshold", "0.85"},
                                   {"config", kToml.c_str()}}) {
    CAPTURE(key);
    CHECK(file.metadata().at(key) == value);
  }
  CHECK(parse_genotype(file.metadata().at("genotype")) == t.result.genotype);

  const SavedAlphas saved = read_alphas(file);
  CHECK(saved.space == make_space("darts-cnn", 2));
  CHECK(same_bits(saved.tables.reduce, t.search.state().arch.reduce()));
  CHECK(
      derive(*make_decision("top2"), t.search.state().relaxation(), saved.tables, saved.space, 2) ==
      t.result.genotype);
  const Tensor m = read_tensor(file, "adam_m/reduce", DType::kFloat32);
  CHECK(same_bits(m, t.search.state().adam.first_moments()[1]));
  // OIHW
  CHECK(file.at("w/stem.0.weight").shape == Shape{6, 3, 3, 3});
  CHECK(file.at("momentum/stem.0.weight").shape == Shape{6, 3, 3, 3});
}

TEST_CASE("damage to a checkpoint shows, wherever it is") {
  const std::string whole = read_file(tiny().file("ckpt/epoch-0002.safetensors"));
  SearchState state = another_state();
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "c.safetensors";
  for (const size_t at :
       {whole.find("oche-checkpoint"), whole.find("sha256"), whole.size() / 2, whole.size() - 1}) {
    CAPTURE(at);
    std::string damaged = whole;
    damaged[at] ^= 1;
    write_file_atomically(path, damaged);
    CHECK(load_refusal(state, path) != "no error");
    CHECK_THROWS_AS(read_alphas(SafetensorsFile(damaged, "c")), FormatError);
  }
}

TEST_CASE("a search starts from a checkpoint, a weight file or a state file") {
  TinyRun& t = tiny();
  SearchState& trained = t.search.state();
  const auto buffers = [](SearchState& s) {
    std::vector<Tensor> means;
    for (const auto& [name, tensor] : s.network.named_buffers()) {
      if (name.ends_with("running_mean")) means.push_back(tensor);
    }
    return means;
  };
  SECTION("checkpoint: everything but Adam") {
    SearchState state = another_state();
    load_initial_state(state, SafetensorsFile::open(t.file("ckpt/epoch-0002.safetensors")));
    CHECK(same_bits(state.network.weights().tensors(), trained.network.weights().tensors()));
    CHECK(same_bits(buffers(state), buffers(trained)));
    CHECK(same_bits(state.sgd.momentum_buffers(), trained.sgd.momentum_buffers()));
    CHECK(same_bits(state.arch.normal(), trained.arch.normal()));
    CHECK(same_bits(state.arch.reduce(), trained.arch.reduce()));
    CHECK(state.adam.steps() == 0);
  }
  SECTION("weight file: alphas and momentum stay") {
    SearchState state = another_state();
    const Tensor alpha = state.arch.normal().clone();
    const Tensor momentum = state.sgd.momentum_buffers()[0].clone();
    load_initial_state(state, SafetensorsFile::open(t.file("weights.safetensors")));
    CHECK(same_bits(state.network.weights().tensors(), trained.network.weights().tensors()));
    CHECK(same_bits(buffers(state), buffers(trained)));
    CHECK(same_bits(state.arch.normal(), alpha));
    CHECK(same_bits(state.sgd.momentum_buffers()[0], momentum));
  }
  SECTION("state file of another writer, in double precision: buffers stay") {
    const TemporaryDirectory directory;
    SafetensorsWriter writer = alpha_file("alpha/", 5, 8);
    for (const auto& [name, p] : trained.network.named_parameters()) {
      add_tensor(writer, "w/" + name, cast(p->value.detach(), DType::kFloat64), p->layout);
    }
    writer.add("x_train", {1}, std::vector<float>{0});
    writer.write(directory.path() / "state.safetensors");
    SearchState state = another_state();
    const Tensor mean = buffers(state)[0].clone();
    load_initial_state(state, SafetensorsFile::open(directory.path() / "state.safetensors"));
    CHECK(same_bits(state.network.weights().tensors(), trained.network.weights().tensors()));
    CHECK(same_bits(buffers(state)[0], mean));
    CHECK(state.arch.normal().to_vector<float>() == std::vector<float>(40, 0.5F));
  }
}

TEST_CASE("states of another network are refused by array and shape") {
  TinyRun& t = tiny();
  SearchState wide = another_state(4), shallow = another_state(2, 2), deep = another_state(2, 5);
  for (const char* file : {"ckpt/epoch-0002.safetensors", "weights.safetensors"}) {
    CAPTURE(file);
    const std::string shapes = load_refusal(wide, t.file(file));
    CHECK(contains(shapes, file));
    CHECK(contains(shapes, "stem.0.weight' has shape (6, 3, 3, 3)"));
    CHECK(contains(shapes, "(12, 3, 3, 3)"));
    CHECK(contains(load_refusal(shallow, t.file(file)), "is not part of this network"));
    CHECK(contains(load_refusal(deep, t.file(file)), "cells."));
  }
}

TEST_CASE("an array's name with a line break in it leaves the message one line") {
  const std::string name = "two\nlines";
  SafetensorsWriter writer;
  writer.add(name, {1}, std::vector<int8_t>(1));
  const SafetensorsFile file(writer.contents(), "a.safetensors");
  CHECK(message_of<FormatError>([&] { read_tensor(file, name, DType::kFloat32); }) ==
        "a.safetensors: array 'two\\x0alines' is I8; expected F32, F64, I64 or U8");
}

TEST_CASE("alphas are read from plain arrays, and refused where they are none") {
  const SafetensorsFile plain(alpha_file("alphas_", 14, 8).contents(), "plain");
  CHECK(read_alphas(plain).space == make_space("darts-cnn", 4));
  CHECK(read_alphas(plain).tables.normal.dtype() == DType::kFloat64);

  CHECK(contains(alpha_refusal(alpha_file("first-order/alphas_", 14, 8)),
                 "holds gradients of alphas ('first-order/alphas_normal')"));
  CHECK(contains(alpha_refusal(alpha_file("beta/", 14, 8)), "a.safetensors: no alphas; expected"));
  CHECK(contains(alpha_refusal(alpha_file("alpha/", 13, 8)), "'alpha/normal' has shape (13, 8)"));
  CHECK(contains(alpha_refusal(alpha_file("alpha/", 14, 7)), "(14, 7); expected (edges, 8)"));
  CHECK(contains(alpha_refusal(alpha_file("alpha/", 0, 8)), "(0, 8)"));
  SafetensorsWriter lone, uneven, broken;
  lone.add("alphas_normal", {2, 8}, std::vector<float>(16));
  CHECK(contains(alpha_refusal(lone), "alphas_reduce"));
  uneven.add("alphas_normal", {2, 8}, std::vector<float>(16));
  uneven.add("alphas_reduce", {5, 8}, std::vector<float>(40));
  CHECK(contains(alpha_refusal(uneven), "'alphas_reduce' has shape (5, 8); expected (2, 8)"));
  broken.add("alphas_normal", {2, 8}, std::vector<float>(16, NAN));
  broken.add("alphas_reduce", {2, 8}, std::vector<float>(16));
  CHECK(contains(alpha_refusal(broken), "not finite"));
}
