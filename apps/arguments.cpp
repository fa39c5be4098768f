#include "fovea/apps/arguments.h"

#include <charconv>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/nearest.h"

namespace fovea {
namespace {

template <typename Number>
bool parse_all(const std::string& text, Number& value) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

std::string describe(const IntegerRange& range) {
  const IntegerRange all;
  if (range.least == all.least && range.most == all.most) return "an integer";
  if (range.most == all.most) return fmt::format("an integer of {} or more", range.least);
  return fmt::format("an integer of {} to {}", range.least, range.most);
}

const CLI::App& innermost(const CLI::App& program) {
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return *app;
}

std::string unknown_option(const CLI::App& app, const std::string& given) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  const std::string name = given.substr(0, given.find('='));
  return fmt::format("unknown option {}; the nearest is {}", printable(name), nearest(name, names));
}

std::string unknown_command(const CLI::App& app, const std::string& given) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (given.empty()) return fmt::format("a command is missing, one of {}; see --help", fmt::join(names, ", "));
  return fmt::format("unknown command {}; the nearest is {}", printable(given), nearest(given, names));
}

}  // namespace

int64_t parse_integer(const std::string& option, const std::string& text, const IntegerRange& range) {
  int64_t value = 0;
  require(parse_all(text, value) && value >= range.least && value <= range.most, ErrorKind::usage,
          "{}: expected {}, got {}", option, describe(range), printable(text));
  return value;
}

double parse_positive(const std::string& option, const std::string& text) {
  double value = 0;
  require(parse_all(text, value) && std::isfinite(value) && value > 0, ErrorKind::usage,
          "{}: expected a number above 0, got {}", option, printable(text));
  return value;
}

CLI::Option* add_integer(CLI::App& app, const std::string& option, int64_t& value, const IntegerRange& range,
                         const std::string& help) {
  return app
      .add_option_function<std::string>(
          option, [&value, option, range](const std::string& text) { value = parse_integer(option, text, range); },
          help)
      ->type_name("N");
}

CLI::Option* add_integer(CLI::App& app, const std::string& option, std::optional<int64_t>& value,
                         const IntegerRange& range, const std::string& help) {
  return app
      .add_option_function<std::string>(
          option, [&value, option, range](const std::string& text) { value = parse_integer(option, text, range); },
          help)
      ->type_name("N");
}

CLI::Option* add_positive(CLI::App& app, const std::string& option, double& value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          option, [&value, option](const std::string& text) { value = parse_positive(option, text); }, help)
      ->type_name("X");
}

CLI::Option* add_positive(CLI::App& app, const std::string& option, std::optional<double>& value,
                          const std::string& help) {
  return app
      .add_option_function<std::string>(
          option, [&value, option](const std::string& text) { value = parse_positive(option, text); }, help)
      ->type_name("X");
}

std::string usage_message(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& app = innermost(program);
  const bool wants_command = !app.get_subcommands([](const CLI::App*) { return true; }).empty();
  for (const std::string& argument : program.remaining(true)) {
    if (argument.size() > 1 && argument.front() == '-') return unknown_option(app, argument);
    if (wants_command) return unknown_command(app, argument);
  }
  if (wants_command) return unknown_command(app, "");
  return error.what();
}

}  // namespace fovea
