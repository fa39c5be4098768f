// From an exception to an exit code and one line.
#pragma once

#include <string>

namespace fovea {

struct Failure {
  int code = 0;         // of ErrorKind
  std::string message;  // one line; with `verbose` a backtrace may follow
};

// Of the exception that is being handled.
Failure current_failure(bool verbose = false);
// The same for code without LibTorch, whose exceptions are unknown here.
Failure current_plain_failure(bool verbose = false);

// "error: MESSAGE" on the standard error.
void print_failure(const Failure& failure);

}  // namespace fovea
