// fovea inspect --audit: do the words of a captioner depend on words behind them?
#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>

#include <nlohmann/json.hpp>

#include "fovea/apps/captioner.h"
#include "fovea/apps/inspect.h"
#include "fovea/apps/output.h"
#include "fovea/captioning/models/load_captioner.h"
#include "fovea/modules/attention/audit.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr int64_t kAuditTokens = 13;  // a prime, which no other size of a network equals

std::string line_of(const MaskLeak& leak) {
  const std::string where = leak.layer.empty() ? "the model itself" : leak.layer;
  return fmt::format(
      "leak: {} ({}): position {} notices that tokens from {} on changed, by {:.2g} of the largest; "
      "right up to {}, wrong at {}\n",
      where, leak.what, leak.noticed, leak.changed, leak.change, leak.behind.empty() ? "the tokens" : leak.behind,
      leak.before);
}

nlohmann::ordered_json as_json(const MaskLeak& leak) {
  return {{"what", leak.what},       {"layer", leak.layer},     {"behind", leak.behind}, {"before", leak.before},
          {"changed", leak.changed}, {"noticed", leak.noticed}, {"change", leak.change}};
}

}  // namespace

int inspect_audit(const InspectArguments& arguments, const CommonOptions& common) {
  const ModelOptions& model = arguments.network.model;
  require(!model.model.empty(), ErrorKind::usage,
          "--audit needs --model DIR, a folder of a captioner: networks for images alone have no such masks");
  const Runtime runtime = select_runtime(common);
  const LoadedCaptioner loaded = open_captioner(model.model, model.weights, runtime);
  torch::nn::Module& module = loaded.model->module();
  module.eval();

  at::manual_seed(0);
  const at::NoGradGuard without_graph;
  const auto image = at::randn({1, 3, loaded.preprocess.height, loaded.preprocess.width});
  const at::Tensor memory = loaded.model->encode(image.to(runtime.device, runtime.dtype));
  const auto forward = [&](const at::Tensor& tokens) { return loaded.model->forward(tokens, memory); };
  const auto ids = at::TensorOptions(at::kLong).device(runtime.device);
  const int64_t vocabulary = forward(at::zeros({1, 2}, ids)).size(2);
  const auto tokens = at::randint(vocabulary, {1, kAuditTokens}, ids);
  const auto leaks = audit_masks(module, forward, tokens, {.causal = true, .vocabulary = vocabulary});

  if (arguments.json) {
    nlohmann::ordered_json root = {
        {"model", model.model}, {"tokens", kAuditTokens}, {"leaks", nlohmann::json::array()}};
    for (const MaskLeak& leak : leaks) root["leaks"].push_back(as_json(leak));
    print_output(root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } else {
    std::string text = fmt::format("{} ({}): {} tokens, each changed with all behind it\n", printable(model.model),
                                   loaded.name, kAuditTokens);
    for (const MaskLeak& leak : leaks) text += line_of(leak);
    if (leaks.empty()) text += "no position depends on a later token\n";
    print_output(text);
  }
  return leaks.empty() ? 0 : static_cast<int>(ErrorKind::data);
}

}  // namespace fovea
