// Numbers on the command line, and what is said about a line that cannot be understood.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace fovea {

struct IntegerRange {
  int64_t least = std::numeric_limits<int64_t>::min();
  int64_t most = std::numeric_limits<int64_t>::max();
};

// Decimal in any locale, the whole text; throws Error(usage) "--top-k: expected an integer of 1 or more, got 0".
int64_t parse_integer(const std::string& option, const std::string& text, const IntegerRange& range);
// Finite and above 0: "--lr: expected a number above 0, got nan".
double parse_positive(const std::string& option, const std::string& text);

CLI::Option* add_integer(CLI::App& app, const std::string& option, int64_t& value, const IntegerRange& range,
                         const std::string& help);
CLI::Option* add_integer(CLI::App& app, const std::string& option, std::optional<int64_t>& value,
                         const IntegerRange& range, const std::string& help);
CLI::Option* add_positive(CLI::App& app, const std::string& option, double& value, const std::string& help);
CLI::Option* add_positive(CLI::App& app, const std::string& option, std::optional<double>& value,
                          const std::string& help);

// One line about a command line that failed to parse, with the nearest option or command.
std::string usage_message(const CLI::App& program, const CLI::ParseError& error);

}  // namespace fovea
