#include "fovea/apps/signals.h"

#include <signal.h>
#include <unistd.h>

namespace fovea {
namespace {

std::atomic<int> received{0};
std::atomic<bool> requested{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_stop(int signal) {
  if (received.exchange(signal) != 0) _exit(128 + signal);
  requested.store(true);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  handle(SIGINT, on_stop);
  handle(SIGTERM, on_stop);
  // Writing answers EPIPE and EFBIG instead, which are reported as any other failed write.
  handle(SIGPIPE, SIG_IGN);
  handle(SIGXFSZ, SIG_IGN);
}

int stop_signal() {
  return received.load();
}
const std::atomic<bool>& stop_requested() {
  return requested;
}

}  // namespace fovea
