// fovea convert: a checkpoint under the names of timm, torchvision or transformers, as safetensors.
#include <CLI/CLI.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/output.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"

namespace fovea {
namespace {

struct ConvertOptions {
  std::string input;
  std::string output;
  std::string layout;  // of the output
  std::string from;    // of the input; empty: detected
  bool force = false;
};

int convert(const ConvertOptions& options) {
  check_not_input(options.output, options.input);
  check_replaceable(options.output, options.force, [](const std::string&) { return false; });
  const MappedState mapped = apply_layout(load_state_dict(options.input), options.from);
  StateDict theirs = write_layout(mapped.weights, layout_of(options.layout, mapped.weights));
  theirs.metadata["format"] = "pt";  // transformers refuses files that do not say so
  save_safetensors(options.output, theirs.tensors(), theirs.metadata);
  print_output(fmt::format("{}: {} tensors, from {} to {}\n", printable(options.output), theirs.size(),
                           mapped.layout->name, options.layout));
  return 0;
}

}  // namespace

Command add_convert(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("convert", "Write a checkpoint under another library's names");
  auto options = std::make_shared<ConvertOptions>();
  app->add_option("IN", options->input, "A checkpoint")->required();
  app->add_option("OUT", options->output, "The safetensors file to write")->required();
  app->add_option("--layout", options->layout, "timm, torchvision or huggingface")->type_name("NAME")->required();
  app->add_option("--from", options->from, "Whose names the keys of IN are, where they do not tell")->type_name("NAME");
  app->add_flag("--force", options->force, "Replace OUT");
  add_verbose_option(*app, common);
  return {app, [options] { return convert(*options); }};
}

}  // namespace fovea
