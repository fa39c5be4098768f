#include "fovea/apps/program.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "fovea/apps/arguments.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

void log_to_standard_error(bool verbose) {
  auto logger = spdlog::stderr_color_mt("fovea");
  logger->set_pattern("%l: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

int run(int argc, char** argv, std::span<const AddCommand> adders, CommonOptions& common) {
  CLI::App program("Attention for computer vision: classify images and see where the network looked.", "fovea");
  program.set_version_flag("--version", "fovea " FOVEA_VERSION);
  program.require_subcommand(1);
  std::vector<Command> commands;
  for (const AddCommand add : adders) commands.push_back(add(program, common));
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    fail(ErrorKind::usage, "{}", printable(usage_message(program, error)));
  }
  log_to_standard_error(common.verbose);
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return 0;
}

}  // namespace

int run_program(int argc, char** argv, std::span<const AddCommand> commands, Failure (*current)(bool verbose)) {
  install_signal_handlers();
  install_map_fault_handler();
  CommonOptions common;
  try {
    return run(argc, argv, commands, common);
  } catch (...) {
    const Failure failure = current(common.verbose);
    print_failure(failure);
    return failure.code;
  }
}

}  // namespace fovea
