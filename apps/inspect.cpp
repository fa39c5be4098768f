// fovea inspect: what a checkpoint holds, whose keys these are, which network they fit, what is wrong; and, in files of
// their own, what the heads of a network do on an image, and whether its masks hold.
#include "fovea/apps/inspect.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/output.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"
#include "fovea/vision/models/recognise.h"

namespace fovea {
namespace {

constexpr size_t named_first = 5;  // of the keys in a problem

struct Findings {
  StateDict checkpoint;
  MappedState mapped;
  Recognition network;
  std::vector<std::string> problems;
  int64_t bytes = 0;
};

void add_problem(Findings& findings, const std::string& what, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  std::string text = fmt::format("{} {}: {}", keys.size(), what,
                                 fmt::join(keys.begin(), keys.begin() + std::min(keys.size(), named_first), ", "));
  if (keys.size() > named_first) text += ", …";
  findings.problems.push_back(printable(text));
}

Findings inspect(const InspectArguments& options) {
  Findings findings{.checkpoint = load_state_dict(options.file)};
  findings.mapped = apply_layout(findings.checkpoint, options.network.model.layout);
  findings.network = recognise(findings.mapped.weights);
  std::vector<std::string> not_finite;
  for (const auto& [name, tensor] : findings.checkpoint) {
    findings.bytes += static_cast<int64_t>(tensor.nbytes());
    if (!tensor.is_floating_point() || tensor.numel() == 0) continue;
    const at::Tensor numbers = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
    if (!at::isfinite(numbers).all().item<bool>()) not_finite.push_back(name);
  }
  add_problem(findings, "with NaN or infinite values", not_finite);
  if (findings.network.names.empty()) {
    findings.problems.emplace_back("no registered network has half of these tensors");
  } else {
    add_problem(findings, "missing", findings.network.missing);
    add_problem(findings, "unexpected", findings.network.unexpected);
    add_problem(findings, "of another shape", findings.network.other_shape);
  }
  return findings;
}

std::string shape_of(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes(), ","));
}

std::string as_table(const InspectArguments& options, const Findings& found) {
  std::string text =
      fmt::format("{}: {} tensors, {} bytes\n", printable(options.file), found.checkpoint.size(), found.bytes);
  if (!found.checkpoint.source.empty()) text += fmt::format("read from   {}\n", printable(found.checkpoint.source));
  if (!found.checkpoint.ignored.empty()) {
    text += fmt::format("left alone  {}\n", printable(fmt::format("{}", fmt::join(found.checkpoint.ignored, ", "))));
  }
  if (!found.mapped.prefix.empty()) text += fmt::format("prefix      {}\n", found.mapped.prefix);
  text += fmt::format("layout      {}\n", found.mapped.layout->name);
  if (!found.network.names.empty()) {
    text +=
        fmt::format("network     {} ({} tensors fit)\n", fmt::join(found.network.names, ", "), found.network.matched);
  }
  for (const std::string& problem : found.problems) text += fmt::format("problem     {}\n", problem);
  text += "\n";
  for (const auto& [name, tensor] : found.checkpoint) {
    text += fmt::format("{:<64} {:<10} {:>12}  {}\n", printable(name), c10::toString(tensor.scalar_type()),
                        tensor.nbytes(), shape_of(tensor));
  }
  return text;
}

std::string as_json(const InspectArguments& options, const Findings& found) {
  auto tensors = nlohmann::ordered_json::array();
  for (const auto& [name, tensor] : found.checkpoint) {
    tensors.push_back({{"name", name},
                       {"dtype", c10::toString(tensor.scalar_type())},
                       {"shape", tensor.sizes().vec()},
                       {"bytes", tensor.nbytes()}});
  }
  const nlohmann::ordered_json root = {{"file", options.file},
                                       {"bytes", found.bytes},
                                       {"source", found.checkpoint.source},
                                       {"ignored", found.checkpoint.ignored},
                                       {"prefix", found.mapped.prefix},
                                       {"layout", found.mapped.layout->name},
                                       {"networks", found.network.names},
                                       {"matched", found.network.matched},
                                       {"missing", found.network.missing},
                                       {"unexpected", found.network.unexpected},
                                       {"other_shape", found.network.other_shape},
                                       {"problems", found.problems},
                                       {"tensors", std::move(tensors)}};
  return root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int run(const InspectArguments& arguments, const CommonOptions& common) {
  const int asked = !arguments.file.empty() + !arguments.attention.empty() + arguments.audit;
  require(asked == 1, ErrorKind::usage, "inspect: give one of FILE, --attention IMAGE and --audit");
  if (!arguments.attention.empty()) return inspect_attention(arguments, common);
  if (arguments.audit) return inspect_audit(arguments, common);
  const Findings found = inspect(arguments);
  print_output(arguments.json ? as_json(arguments, found) : as_table(arguments, found));
  return 0;
}

}  // namespace

Command add_inspect(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand(
      "inspect", "Say what a checkpoint holds, what the heads of a network do, whether its masks hold");
  auto arguments = std::make_shared<InspectArguments>();
  app->add_option("FILE", arguments->file, "A checkpoint: what it holds and which network it fits");
  app->add_option("--attention", arguments->attention,
                  "What each head does on this image: entropy, distance, idle and like heads")
      ->type_name("IMAGE");
  app->add_flag("--audit", arguments->audit,
                "Change later tokens and see whether earlier ones notice: --model is a folder of a captioner");
  app->add_option("--output", arguments->output,
                  "Folder for pictures of --attention: <image>.heads.png and .svg, .views, with --layer also .tokens")
      ->type_name("DIR");
  app->add_option("--layer", arguments->layer, "The layer whose tokens are drawn against each other: index or path")
      ->type_name("L");
  app->add_flag("--force", arguments->force, "Replace files that were not written by this command");
  app->add_flag("--json", arguments->json, "Answer as JSON");
  add_decode_options(*app, arguments->decoding);
  add_model_options(*app, arguments->network.model);
  add_common_options(*app, common);
  return {app, [arguments, &common] { return run(*arguments, common); }};
}

}  // namespace fovea
