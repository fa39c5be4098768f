#include "fovea/modules/parallel/process_group.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "fovea/modules/error.h"
#include "fovea/modules/parallel/gloo_group.h"

namespace fovea {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  require(value != nullptr && *value != '\0', ErrorKind::usage,
          "{} is not set; launchers set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT", name);
  return value;
}

int64_t environment_number(const char* name) {
  const std::string text = environment(name);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  require(error == std::errc() && end == text.data() + text.size(), ErrorKind::usage,
          "{}: expected a number, got \"{}\"", name, printable(text));
  return number;
}

}  // namespace

ProcessGroupOptions group_options_from_environment() {
  return {.rank = environment_number("RANK"),
          .size = environment_number("WORLD_SIZE"),
          .address = environment("MASTER_ADDR"),
          .port = environment_number("MASTER_PORT")};
}

ProcessGroup make_gloo_group(const ProcessGroupOptions& options) {
  require(0 <= options.rank && options.rank < options.size, ErrorKind::usage,
          "make_gloo_group: rank {} is not below {} processes", options.rank, options.size);
  require(options.file.empty() != options.address.empty(), ErrorKind::usage,
          "make_gloo_group: expected either a file or an address, got \"{}\" and \"{}\"", printable(options.file),
          printable(options.address));
  require(0 < options.port && options.port < 65536, ErrorKind::usage, "make_gloo_group: port {} is not in 1…65535",
          options.port);
  require(options.timeout.count() > 0, ErrorKind::usage, "make_gloo_group: a timeout of {} ms",
          options.timeout.count());
  return detail::gloo_group(options);
}

}  // namespace fovea
