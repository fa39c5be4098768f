// SIGINT and SIGTERM ask the running command to stop at the next safe place; a second one ends the process at once.
#pragma once

#include <atomic>

namespace fovea {

void install_signal_handlers();

// 0, or the number of the signal that came.
int stop_signal();
// True once one came, for loops that know nothing of signals.
const std::atomic<bool>& stop_requested();

// What the process then answers: 130 or 143.
inline int exit_code_of(int signal) {
  return 128 + signal;
}

}  // namespace fovea
