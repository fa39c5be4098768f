// The program: reads the command line, runs one subcommand, turns what went wrong into one line and an exit code.
#include <malloc.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/failure.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

// Large activations stay with the process between forward passes instead of being returned and faulted in again.
void keep_large_blocks() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

void log_to_standard_error(bool verbose) {
  auto logger = spdlog::stderr_color_mt("fovea");
  logger->set_pattern("%l: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

int run(int argc, char** argv, CommonOptions& common) {
  CLI::App program("Attention for computer vision: classify images and see where the network looked.", "fovea");
  program.set_version_flag("--version", "fovea " FOVEA_VERSION);
  program.require_subcommand(1);
  const Command commands[] = {
      add_classify(program, common),    add_caption(program, common),       add_overlay(program, common),
      add_evaluate(program, common),    add_report(program, common),        add_features(program, common),
      add_bench_model(program, common), add_bench_kernels(program, common), add_inspect(program, common),
      add_convert(program, common),     add_models(program, common),        add_train(program, common)};
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
}  // namespace fovea

int main(int argc, char** argv) {
  fovea::keep_large_blocks();
  fovea::install_signal_handlers();
  fovea::install_map_fault_handler();
  fovea::CommonOptions common;
  try {
    return fovea::run(argc, argv, common);
  } catch (...) {
    const fovea::Failure failure = fovea::current_failure(common.verbose);
    fovea::print_failure(failure);
    return failure.code;
  }
}
