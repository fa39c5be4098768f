// fovea-lens: the subcommand lens alone.
#include "fovea/apps/program.h"

int main(int argc, char** argv) {
  constexpr fovea::AddCommand commands[] = {fovea::add_lens};
  return fovea::run_program(argc, argv, commands, fovea::current_plain_failure);
}
