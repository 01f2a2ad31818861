// A fault at every system call of a save: the old file or the new one is whole, nothing else is
// left, and a run goes on to the same bits.
#include <cerrno>
#include <string>
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

// Runs a tiny search until the fault at call `at` of its second epoch's record. Returns the calls,
// and whether they reached the fault.
struct FaultyRecorder : SearchObserver {
  FaultyRecorder(Search& search, RunDirectory& run, int at, int error)
      : search(search), run(run), at(at), error(error) {}
  void on_epoch(const EpochReport& report) override {
    if (report.epoch == 0) return run.record_epoch(search, report);
    const FailingCall failing(at, error);
    try {
      run.record_epoch(search, report);
    } catch (...) {
      calls = failing.calls();
      throw;
    }
    calls = failing.calls();
  }

  Search& search;
  RunDirectory& run;
  int at, error;
  Calls calls;
};

}  // namespace

TEST_CASE("a save that fails at any system call leaves the old file or the new one") {
  const TemporaryDirectory root;
  const fs::path path = root.path() / "file";
  const std::string before(5000, 'o'), after(6000, 'n');
  const size_t descriptors = open_descriptors();
  const int error = GENERATE(EIO, ENOSPC, EDQUOT, EINTR, FailingCall::kShortWrite);
  CAPTURE(error);
  for (size_t at = 0; at < kSave.size(); ++at) {
    CAPTURE(at, kSave[at]);
    write_file_atomically(path, before);
    Calls calls;
    const auto save = [&] {
      const FailingCall failing(static_cast<int>(at), error);
      try {
        write_file_atomically(path, after);
      } catch (...) {
        calls = failing.calls();
        throw;
      }
      calls = failing.calls();
    };
    // An interruption is tried again, a short write goes on, and after the directory was synced
    // nothing matters any more. rename() is never interrupted.
    const bool is_last = at + 1 == kSave.size();
    const bool harmless =
        is_last || error == FailingCall::kShortWrite || (error == EINTR && at != kRename);
    if (harmless) {
      CHECK_NOTHROW(save());
    } else {
      std::error_code code;
      try {
        save();
      } catch (const IoError& e) {
        code = e.code();
      }
      CHECK(code.value() == error);
    }
    REQUIRE(calls.size() > at);
    CHECK(std::equal(
        kSave.begin(), kSave.begin() + static_cast<std::ptrdiff_t>(at) + 1, calls.begin()));
    CHECK(read_file(path) == (harmless || at > kRename ? after : before));
    CHECK(entries_of(root.path()) == std::vector{path});
    CHECK(open_descriptors() == descriptors);
  }
  // There is no call beyond those.
  const FailingCall none(1000, EIO);
  write_file_atomically(path, after);
  CHECK(none.calls() == kSave);
}

TEST_CASE("an epoch whose record fails at any system call is recorded by the run that goes on") {
  Calls whole;
  for (int i = 0; i < 3; ++i) whole.insert(whole.end(), kAppend.begin(), kAppend.end());
  whole.insert(whole.end(), kSave.begin(), kSave.end());
  whole.push_back("remove");  // the checkpoint of step 0

  const int error = GENERATE(EIO, ENOSPC);
  for (int at = 0; at <= std::ssize(whole); ++at) {
    CAPTURE(error, at);
    const TemporaryDirectory root;
    const fs::path path = root.path() / "run";
    bool failed = false;
    {
      Search search(tiny_config(), images());
      RunDirectory run(path, Existing::kRefuse);
      run.start(search, kToml);
      FaultyRecorder recorder(search, run, at, error);
      try {
        search.run(recorder);
      } catch (const IoError& e) {
        failed = true;
        CHECK(e.code().value() == error);
      }
      const auto reached = std::min<std::ptrdiff_t>(at + 1, std::ssize(whole));
      REQUIRE(std::ssize(recorder.calls) >= reached);
      CHECK(std::equal(whole.begin(), whole.begin() + reached, recorder.calls.begin()));
    }
    const int harmless = static_cast<int>(std::ssize(whole)) - 2;  // closing the directory
    CHECK(failed == (at != harmless && at < std::ssize(whole)));
    for (const fs::path& file : entries_of(path / "ckpt")) {
      CHECK(file.extension() == ".safetensors");
    }
    resume_tiny(path);
    expect_tiny_run(path);
  }
}
