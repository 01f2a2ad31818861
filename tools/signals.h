// SIGINT, SIGTERM and SIGPIPE, which says that nobody reads the progress any more: the first asks
// for an orderly end, a second one ends the process at once.
#pragma once

namespace oche::tools {

// While one lives, the signals are caught.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();  // puts the former handlers back
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  int received() const;  // the signal's number, 0 while there was none
};

}  // namespace oche::tools
