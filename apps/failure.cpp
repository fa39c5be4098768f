#include "fovea/apps/failure.h"

#include <c10/util/Exception.h>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

int code_of(ErrorKind kind) {
  return static_cast<int>(kind);
}

// LibTorch reports some of what is a lack of memory as plain errors.
bool means_out_of_memory(const std::string& text) {
  return text.find("can't allocate memory") != std::string::npos ||
         text.find("Storage size calculation overflowed") != std::string::npos ||
         text.find("not enough memory") != std::string::npos;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// "[enforce fail at FILE:LINE] CONDITION. CAUSE" → "CAUSE"
std::string without_source_line(const std::string& text) {
  if (!text.starts_with("[enforce fail at ")) return text;
  const size_t end = text.find(". ", text.find("] "));
  return end == std::string::npos ? text : text.substr(end + 2);
}

Failure torch_failure(const c10::Error& error, bool verbose) {
  const std::string message = error.what_without_backtrace();
  const bool memory = means_out_of_memory(message);
  const ErrorKind kind = memory ? ErrorKind::resource : ErrorKind::internal;
  std::string line = (memory ? "out of memory: " : "") + printable(without_source_line(first_line(message)));
  if (verbose) line += std::string("\n") + error.what();
  return {code_of(kind), std::move(line)};
}

}  // namespace

Failure current_failure(bool verbose) {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {  // of a GPU
    return {code_of(ErrorKind::resource), "out of memory: " + printable(first_line(error.what_without_backtrace()))};
  } catch (const c10::Error& error) {
    return torch_failure(error, verbose);
  } catch (...) {
    return current_plain_failure(verbose);
  }
}

}  // namespace fovea
