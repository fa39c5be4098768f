// fovea convert: a checkpoint as safetensors, under the names of timm, torchvision or transformers, or in another type.
#include <CLI/CLI.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/device.h"
#include "fovea/apps/output.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"

namespace fovea {
namespace {

struct ConvertOptions {
  std::string input;
  std::string output;
  std::string layout;  // of the output; empty: its keys stay
  std::string from;    // of the input; empty: detected
  std::string dtype;   // of floating tensors; empty: theirs
  bool force = false;
};

StateDict in_type(const StateDict& weights, at::ScalarType type) {
  StateDict changed;
  for (const NamedTensor& named : weights) {
    changed.add(named.name, named.tensor.is_floating_point() ? named.tensor.to(type) : named.tensor);
  }
  return changed;
}

int convert(const ConvertOptions& options) {
  require(!options.layout.empty() || (!options.dtype.empty() && options.from.empty()), ErrorKind::usage,
          "convert: --layout NAME is required, or --dtype without --from");
  check_not_input(options.output, options.input);
  check_replaceable(options.output, options.force, [](const std::string&) { return false; });
  StateDict theirs = load_state_dict(options.input);
  std::string names = "under its own names";
  if (!options.layout.empty()) {
    const MappedState mapped = apply_layout(theirs, options.from);
    theirs = write_layout(mapped.weights, layout_of(options.layout, mapped.weights));
    names = fmt::format("from {} to {}", mapped.layout->name, options.layout);
  }
  if (!options.dtype.empty()) theirs = in_type(theirs, dtype_named(options.dtype));
  theirs.metadata["format"] = "pt";  // transformers refuses files that do not say so
  save_safetensors(options.output, theirs.tensors(), theirs.metadata);
  print_output(fmt::format("{}: {} tensors, {}\n", printable(options.output), theirs.size(), names));
  return 0;
}

}  // namespace

Command add_convert(CLI::App& program, CommonOptions& common) {
  CLI::App* app =
      program.add_subcommand("convert", "Write a checkpoint under another library's names, or in another number type");
  auto options = std::make_shared<ConvertOptions>();
  app->add_option("IN", options->input, "A checkpoint")->required();
  app->add_option("OUT", options->output, "The safetensors file to write")->required();
  app->add_option("--layout", options->layout, "timm, torchvision or huggingface")->type_name("NAME");
  app->add_option("--from", options->from, "Whose names the keys of IN are, where they do not tell")->type_name("NAME");
  app->add_option("--dtype", options->dtype, "Number type of the weights (as they are)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->type_name("TYPE");
  app->add_flag("--force", options->force, "Replace OUT");
  add_verbose_option(*app, common);
  return {app, [options] { return convert(*options); }};
}

}  // namespace fovea
