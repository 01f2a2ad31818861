// Stands between a program and the C library.
#include "tests/support/failing_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <stdexcept>

namespace oche::test {
namespace {

struct Plan {
  int at, error;
  std::vector<std::string> calls;
};
Plan* plan = nullptr;

// What call number `at` is to do, told when its turn has come; 0 for any other.
int error_of(const char* name) {
  if (!plan) return 0;
  plan->calls.emplace_back(name);
  return std::ssize(plan->calls) - 1 == plan->at ? plan->error : 0;
}

// True iff the call is to fail, errno being set.
bool fails(const char* name) {
  const int error = error_of(name);
  if (error > 0) errno = error;
  return error > 0;
}

template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

FailingCall::FailingCall(int at, int error) {
  if (plan) throw std::logic_error("FailingCall: one at a time");
  plan = new Plan{at, error, {}};
}

FailingCall::~FailingCall() {
  delete plan;
  plan = nullptr;
}

const std::vector<std::string>& FailingCall::calls() const {
  return plan->calls;
}

bool FailingCall::reached() const {
  return plan->at < std::ssize(plan->calls);
}

}  // namespace oche::test

using oche::test::error_of;
using oche::test::fails;
using oche::test::real;

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return fails("open") ? -1 : real<int(const char*, int, ...)>("open")(path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const int error = error_of("write");
  if (error > 0) {
    errno = error;
    return -1;
  }
  const size_t taken = error == 0 ? size : size / 2;
  return real<ssize_t(int, const void*, size_t)>("write")(fd, bytes, taken);
}

int fsync(int fd) {
  return fails("fsync") ? -1 : real<int(int)>("fsync")(fd);
}

// Whatever it reports, the descriptor is gone, as on Linux.
int close(int fd) {
  const bool failed = fails("close");
  const int error = errno, result = real<int(int)>("close")(fd);
  if (failed) errno = error;
  return failed ? -1 : result;
}

int rename(const char* from, const char* to) noexcept {
  return fails("rename") ? -1 : real<int(const char*, const char*)>("rename")(from, to);
}

int unlink(const char* path) noexcept {
  return fails("unlink") ? -1 : real<int(const char*)>("unlink")(path);
}

int remove(const char* path) noexcept {
  return fails("remove") ? -1 : real<int(const char*)>("remove")(path);
}

}  // extern "C"
