// A fault at every system call of a save: the old file or the new one is whole, nothing else is
// left, and a run goes on to the same bits.
#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "tests/support/catch.h"
#include "tests/support/failing_calls.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

using Calls = std::vector<std::string>;

const Calls kSave = {"open", "open", "write", "fsync", "close", "rename", "fsync", "close"};
constexpr size_t kRename = 5;  // of kSave
const Calls kAppend = {"open", "write", "fsync", "close"};

size_t open_descriptors() {
  return entries_of("/proc/self/fd").size();
}

// What the call changes, with a fault at its system call `at`. Returns the calls that it made, and
// the error that came out, 0 for none.
template <typename Change>
std::pair<Calls, int> with_fault(int at, int error, Change change) {
  const FailingCall failing(at, error);
  int came_out = 0;
  try {
    change();
  } catch (const IoError& e) {
    came_out = e.code().value();
  }
  return {failing.calls(), came_out};
}

bool starts_with(const Calls& calls, const Calls& expected, size_t count) {
  return calls.size() >= count &&
         std::equal(
             calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(count), expected.begin());
}

}  // namespace

TEST_CASE("a save that fails at any system call leaves the old file or the new one") {
  const TemporaryDirectory root;
  const fs::path path = root.path() / "file";
  const std::string before(5000, 'o'), after(6000, 'n');
  const size_t descriptors = open_descriptors();
  const int error = GENERATE(EIO, ENOSPC, EDQUOT, EINTR, FailingCall::kShortWrite);
  for (size_t at = 0; at < kSave.size(); ++at) {
    CAPTURE(error, at, kSave[at]);
    write_file_atomically(path, before);
    const auto [calls, came_out] =
        with_fault(static_cast<int>(at), error, [&] { write_file_atomically(path, after); });
    CHECK(starts_with(calls, kSave, at + 1));
    // An interruption is tried again (rename is never interrupted), a short write goes on, and once
    // the directory has been synced nothing matters any more.
    const bool harmless = error == FailingCall::kShortWrite || (error == EINTR && at != kRename) ||
                          at + 1 == kSave.size();
    CHECK(came_out == (harmless ? 0 : error));
    CHECK(read_file(path) == (harmless || at > kRename ? after : before));
    CHECK(entries_of(root.path()) == std::vector{path});
    CHECK(open_descriptors() == descriptors);
  }
  CHECK(with_fault(1000, EIO, [&] { write_file_atomically(path, after); }).first == kSave);
}

TEST_CASE("an epoch whose record fails at any system call is whole once the run has gone on") {
  Calls all;
  for (int i = 0; i < 3; ++i) all.insert(all.end(), kAppend.begin(), kAppend.end());
  all.insert(all.end(), kSave.begin(), kSave.end());
  all.push_back("remove");  // of the checkpoint before the last two

  // The tiny run as it was after its first epoch, and one checkpoint more.
  const TemporaryDirectory root;
  const fs::path former = root.path() / "former", path = root.path() / "run";
  fs::copy(tiny().run.path(), former, fs::copy_options::recursive);
  fs::remove(former / "ckpt/epoch-0002.safetensors");
  fs::copy_file(former / "ckpt/epoch-0001.safetensors", former / "ckpt/step-00000000.safetensors");
  const auto newest = [&] {
    return open_newest(read_run(path).checkpoints, [](const std::string& line) { FAIL(line); });
  };

  const int error = GENERATE(EIO, ENOSPC);
  for (size_t at = 0; at <= all.size(); ++at) {
    CAPTURE(error, at);
    fs::remove_all(path);
    fs::copy(former, path, fs::copy_options::recursive);
    Search search(tiny_config(), images());
    const auto go_on = [&](const auto& record) {
      load_checkpoint(search, newest());
      RunDirectory run(path, Existing::kContinue);
      run.resume(search, kToml);
      if (search.progress().epochs == 1) record(run);
    };
    go_on([&](RunDirectory& run) {
      const auto [calls, came_out] = with_fault(
          static_cast<int>(at), error, [&] { run.record_epoch(tiny().search, tiny().reports[1]); });
      CHECK(starts_with(calls, all, std::min(at + 1, all.size())));
      const bool harmless = at + 2 == all.size() || at == all.size();  // closes the directory; none
      CHECK(came_out == (harmless ? 0 : error));
    });
    for (const fs::path& file : entries_of(path / "ckpt")) {
      CHECK(file.extension() == ".safetensors");
    }
    go_on([&](RunDirectory& run) { run.record_epoch(tiny().search, tiny().reports[1]); });
    for (const char* name : {"metrics.csv", "genotypes.jsonl", "ckpt/epoch-0002.safetensors"}) {
      CAPTURE(name);
      CHECK(read_file(path / name) == read_file(tiny().file(name)));
    }
  }
}
