// fovea inspect: what a checkpoint holds, whose keys these are, which network they fit, what is wrong.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/output.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"
#include "fovea/vision/models/recognise.h"

namespace fovea {
namespace {

constexpr size_t named_first = 5;  // of the keys in a problem

struct InspectOptions {
  std::string file;
  std::string layout;
  bool json = false;
};

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

Findings inspect(const InspectOptions& options) {
  Findings findings{.checkpoint = load_state_dict(options.file)};
  findings.mapped = apply_layout(findings.checkpoint, options.layout);
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

std::string as_table(const InspectOptions& options, const Findings& found) {
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

std::string as_json(const InspectOptions& options, const Findings& found) {
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

}  // namespace

Command add_inspect(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("inspect", "Say what a checkpoint holds and which network it fits");
  auto options = std::make_shared<InspectOptions>();
  app->add_option("FILE", options->file, "A checkpoint")->required();
  app->add_option("--layout", options->layout, "Whose names its keys are, where they do not tell")->type_name("NAME");
  app->add_flag("--json", options->json, "Answer as JSON");
  add_verbose_option(*app, common);
  return {app, [options] {
            const Findings found = inspect(*options);
            print_output(options->json ? as_json(*options, found) : as_table(*options, found));
            return 0;
          }};
}

}  // namespace fovea
