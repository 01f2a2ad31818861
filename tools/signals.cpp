// Signal handling.
#include "tools/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "tools/exit_code.h"

namespace oche::tools {
namespace {

constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGPIPE};

std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);  // hence fit for a handler
std::array<struct sigaction, kSignals.size()> former_actions;

extern "C" void on_signal(int signal) {
  if (first_signal.exchange(signal) != 0) _exit(kSignal + signal);
}

}  // namespace

SignalWatch::SignalWatch() {
  first_signal = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &former_actions[i]);
}

SignalWatch::~SignalWatch() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &former_actions[i], nullptr);
}

int SignalWatch::received() const {
  return first_signal;
}

}  // namespace oche::tools
