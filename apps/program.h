// What fovea-lens and fovea-networks share, the two programs that `fovea` becomes.
#pragma once

#include <span>

#include "fovea/apps/command.h"
#include "fovea/apps/failure.h"

namespace fovea {

using AddCommand = Command (*)(CLI::App& program, CommonOptions& common);

// Reads the command line, runs the one subcommand that it names, turns what went wrong into one line and an exit code.
int run_program(int argc, char** argv, std::span<const AddCommand> commands, Failure (*current)(bool verbose));

}  // namespace fovea
