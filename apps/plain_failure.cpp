#include <cstdio>
#include <new>
#include <system_error>

#include "fovea/apps/failure.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

int code_of(ErrorKind kind) {
  return static_cast<int>(kind);
}

}  // namespace

Failure current_plain_failure(bool) {
  try {
    throw;
  } catch (const Error& error) {
    return {code_of(error.kind()), error.what()};
  } catch (const std::bad_alloc&) {
    return {code_of(ErrorKind::resource), "out of memory"};
  } catch (const std::system_error& error) {  // a thread that could not be started
    return {code_of(ErrorKind::resource), printable(error.what())};
  } catch (const std::exception& error) {
    const std::string message = error.what();
    return {code_of(ErrorKind::internal), printable(message.substr(0, message.find('\n')))};
  }
}

void print_failure(const Failure& failure) {
  std::fprintf(stderr, "error: %s\n", failure.message.c_str());
}

}  // namespace fovea
