// The system calls by which files change, any one of which a test can make fail. For executables
// that link failing_calls.cpp: its functions take the place of the C library's.
#pragma once

#include <string>
#include <vector>

namespace oche::test {

// While it lives, the calls to open, write, fsync, close, rename, unlink and remove are counted,
// and call number `at` (from 0) goes wrong: it fails with `error`, or if that is kShortWrite and it
// is a write, takes but a part of its bytes. One at a time.
class FailingCall {
 public:
  static constexpr int kShortWrite = -1;

  FailingCall(int at, int error);
  ~FailingCall();
  FailingCall(const FailingCall&) = delete;
  FailingCall& operator=(const FailingCall&) = delete;

  const std::vector<std::string>& calls() const;  // by name, in order
  bool reached() const;                           // the call that goes wrong
};

}  // namespace oche::test
