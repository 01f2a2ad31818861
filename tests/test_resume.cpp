// Going on with a run: to the same bits from any step, past damaged checkpoints, and only where
// everything fits.
#include <fmt/format.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/checkpoint.h"
#include "nas/checkpoint_files.h"
#include "nas/metrics.h"
#include "nas/run_summary.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;
using namespace std::string_literals;

namespace {

// Runs a tiny search until `steps` are done and ends there as a signal would; with `kill`, without
// a word.
void run_until(const fs::path& directory, int64_t steps, bool kill = false) {
  Search search(tiny_config(), images());
  RunDirectory run(directory, Existing::kRefuse, {.checkpoint_minutes = kill ? 1e-9 : 0});
  run.start(search, kToml);
  Recorder recorder(search, run, steps);
  const SearchResult result = search.run(recorder);
  if (!kill) run.finish(search, result);
}

void damage(const fs::path& path) {
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 1;
  write_file_atomically(path, bytes);
}

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const fs::path& path : entries_of(directory)) names.insert(path.filename().native());
  return names;
}

}  // namespace

TEST_CASE("a search that was killed after a step runs on to the same bits") {
  const int64_t steps = GENERATE(1, 4, 5, 8);  // the first and the last of each epoch
  const TemporaryDirectory root;
  run_until(root.path() / "run", steps, true);
  CHECK(read_run(root.path() / "run").state == RunSummary::State::kRunning);
  CHECK(resume_tiny(root.path() / "run").empty());
  expect_tiny_run(root.path() / "run");
}

TEST_CASE("a search that was ended by a signal runs on to the same bits") {
  const int64_t steps = GENERATE(3, 4);  // within an epoch, and before its end is recorded
  const TemporaryDirectory root;
  run_until(root.path() / "run", steps);
  CHECK(read_run(root.path() / "run").state == RunSummary::State::kInterrupted);
  CHECK(resume_tiny(root.path() / "run").empty());
  expect_tiny_run(root.path() / "run");
}

TEST_CASE("a run that was killed before its first step starts at its own beginning") {
  const TemporaryDirectory root;
  const SearchConfig config = tiny_config();
  {
    Search search(config, images());
    load_initial_state(search.state(),
                       SafetensorsFile::open(tiny().file("weights.safetensors")));  // --init
    RunDirectory run(root.path(), Existing::kRefuse);
    run.start(search, kToml);
  }
  Search search(config, images());
  load_checkpoint(search, open_checkpoint(root.path() / "ckpt/step-00000000.safetensors"));
  CHECK(same_bits(search.state().network.weights().tensors(),
                  tiny().search.state().network.weights().tensors()));
}

TEST_CASE("rows that a kill left behind the newest checkpoint do not come twice") {
  const TemporaryDirectory root;
  const fs::path run = root.path() / "run";
  fs::copy(tiny().run.path(), run, fs::copy_options::recursive);
  fs::remove(run / "ckpt/epoch-0002.safetensors");
  append_to_file(run / "metrics.csv", "3,torn");
  append_to_file(run / "events.jsonl", R"({"schema": 1, "ty)");
  resume_tiny(run);
  expect_tiny_run(run);
  const std::string events = read_file(run / "events.jsonl");
  std::string types;
  for (const std::string_view line : whole_lines(events)) {
    types += nlohmann::json::parse(line)["type"].get<std::string>() + " ";
  }
  CHECK(types == "start epoch end resume epoch end ");
}

TEST_CASE("damaged checkpoints are told of and passed over, to the same bits") {
  const TemporaryDirectory root;
  const fs::path run = root.path() / "run";
  run_until(run, 7, true);
  const fs::path ckpt = run / "ckpt";
  REQUIRE(names_in(ckpt) == std::set<std::string>{"epoch-0001.safetensors",
                                                  "step-00000006.safetensors",
                                                  "step-00000007.safetensors"});
  damage(ckpt / "step-00000007.safetensors");
  SECTION("the newest") {
    const std::vector<std::string> told = resume_tiny(run);
    REQUIRE(told.size() == 1);
    CHECK(contains(told[0], (ckpt / "step-00000007.safetensors").native() + ": its SHA-256 is"));
    CHECK(contains(told[0], "falling back to " + (ckpt / "step-00000006.safetensors").native()));
  }
  SECTION("the last two, one of them empty") {
    write_file_atomically(ckpt / "step-00000006.safetensors", std::string());
    CHECK(resume_tiny(run).size() == 2);
  }
  SECTION("all: then nothing is touched") {
    damage(ckpt / "step-00000006.safetensors");
    damage(ckpt / "epoch-0001.safetensors");
    const std::string events = read_file(run / "events.jsonl");
    CHECK(contains(message_of<FormatError>([&] { resume_tiny(run); }), "epoch-0001.safetensors"));
    CHECK(read_file(run / "events.jsonl") == events);
    return;
  }
  expect_tiny_run(run);
}

TEST_CASE("a damaged newest checkpoint does not cost a whole one its place") {
  const TemporaryDirectory root;
  run_until(root.path(), 7, true);
  damage(root.path() / "ckpt/step-00000007.safetensors");
  Search search(tiny_config(), images());
  const SafetensorsFile whole = open_checkpoint(root.path() / "ckpt/epoch-0001.safetensors");
  load_checkpoint(search, whole);
  RunDirectory run(root.path(), Existing::kContinue, {.checkpoint_minutes = 1e-9});
  run.resume(search, kToml);
  Recorder recorder(search, run, 1);
  search.run(recorder);
  CHECK(names_in(root.path() / "ckpt") == std::set<std::string>{"epoch-0001.safetensors",
                                                                "step-00000005.safetensors",
                                                                "step-00000006.safetensors",
                                                                "step-00000007.safetensors"});
}

TEST_CASE("checkpoints come in the order in which they were taken") {
  const TemporaryDirectory root;
  for (const char* name : {"step-00000008.safetensors",
                           "epoch-0002.safetensors",
                           "epoch-0010.safetensors",
                           "step-00000000.safetensors",
                           "step-00000009.safetensors",
                           "epoch-0001.safetensors",
                           "epoch-1.safetensors.12-0.oche-tmp",
                           "best.safetensors"}) {
    append_to_file(root.path() / name, "");
  }
  std::string places;
  for (const CheckpointFile& file : list_checkpoints(root.path(), 4)) {
    places += fmt::format("{}/{} ", file.epoch, file.step);
  }
  CHECK(places == "0/0 1/4 0/8 2/8 0/9 10/40 ");
  CHECK(list_checkpoints(root.path() / "missing", 4).empty());
}

TEST_CASE("a search does not go on from counters that it never reaches") {
  Search search(tiny_config(), images());
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t steps : {int64_t{-1}, -kMost - 1, int64_t{5}, kMost}) {
    CHECK_THROWS_AS(search.continue_from({.epochs = 0, .steps = steps}), std::invalid_argument);
  }
  for (const int64_t epochs : {int64_t{-1}, -kMost - 1, int64_t{3}, kMost}) {
    CHECK_THROWS_AS(search.continue_from({.epochs = epochs, .steps = 0}), std::invalid_argument);
  }
}

TEST_CASE("a run is not continued where something does not fit") {
  const TemporaryDirectory root;
  const fs::path run = root.path() / "run";
  run_until(run, 5);
  const SafetensorsFile checkpoint = open_checkpoint(run / "ckpt/step-00000005.safetensors");

  SECTION("another configuration in config.toml") {
    write_file_atomically(run / "config.toml", "layers = 4\n"s);
    CHECK(contains(message_of<std::invalid_argument>([&] { resume_tiny(run); }), "config.toml: "));
  }
  SECTION("lines lost") {
    write_file_atomically(run / "metrics.csv", csv_header());
    CHECK(contains(message_of<FormatError>([&] { resume_tiny(run); }),
                   "metrics.csv: 1 lines; the checkpoint was taken when there were 2"));
  }
  SECTION("another process at it") {
    const RunDirectory other(run, Existing::kContinue);
    CHECK(contains(message_of<std::invalid_argument>([&] { resume_tiny(run); }),
                   "is in use by another process"));
  }
  SECTION("another network") {
    SearchConfig wide = tiny_config();
    wide.channels = 4;
    Search search(wide, images());
    CHECK(contains(message_of<FormatError>([&] { load_checkpoint(search, checkpoint); }),
                   "has shape"));
  }
  SECTION("fewer images than before") {
    SearchConfig few = tiny_config();
    few.train_size = 16;
    Search search(few, images());
    CHECK(contains(message_of<FormatError>([&] { load_checkpoint(search, checkpoint); }),
                   "no search of 2 epochs of 2 steps comes to step 5 with 1 epochs behind it; is "
                   "the data set the same?"));
  }
  SECTION("a file of weights") {
    CHECK(contains(
        message_of<FormatError>([] { open_checkpoint(tiny().file("weights.safetensors")); }),
        "no checkpoint of a search"));
  }
}

TEST_CASE("every flipped bit and every truncation of a checkpoint is found") {
  SafetensorsWriter writer;
  writer.set_metadata("kind", "oche-checkpoint");
  writer.set_metadata("schema", "1");
  writer.set_metadata("config", kToml);
  std::vector<float> values(700);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.37F * static_cast<float>(i) - 100;
  writer.add("w/stem.0.weight", {70, 10}, values);
  writer.add("alpha/normal", {14, 8}, std::vector<double>(112, 1e-3));
  const std::string whole = writer.contents(Checksum::kSha256);
  REQUIRE(whole.size() > 3900);
  REQUIRE(whole.size() < 4300);

  const TemporaryDirectory root;
  const CheckpointFile checkpoint{root.path() / "epoch-0001.safetensors", 1, 4};
  write_file_atomically(checkpoint.path, whole);
  const auto opens = [&] {
    const auto open = [&] { open_newest({checkpoint}, [](const std::string&) {}); };
    return message_of<FormatError>(open) == "no error";
  };
  REQUIRE(opens());

  std::fstream file(checkpoint.path, std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](size_t at, char byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(byte).flush();
  };
  int flips = 0, cuts = 0;  // found
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      put(at, static_cast<char>(whole[at] ^ (1 << bit)));
      if (!opens()) ++flips;
    }
    put(at, whole[at]);
  }
  CHECK(flips == 8 * std::ssize(whole));
  CHECK(opens());

  for (size_t size = whole.size(); size-- > 0;) {
    fs::resize_file(checkpoint.path, size);
    if (!opens()) ++cuts;
  }
  CHECK(cuts == std::ssize(whole));
  WARN(fmt::format("of {} bytes: {} of {} flipped bits found, {} of {} truncations",
                   whole.size(),
                   flips,
                   8 * whole.size(),
                   cuts,
                   whole.size()));
}
