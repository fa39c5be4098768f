#include "fovea/apps/captioner.h"

#include <spdlog/spdlog.h>

#include "fovea/apps/resources.h"
#include "fovea/datasets/embedded.h"

namespace fovea {

namespace {

std::string captioner_folder(const std::string& model) {
  const EmbeddedCaptioner* const embedded =
      model.empty() ? &embedded_captioners().front() : find_embedded_captioner(model);
  return embedded == nullptr ? model : resource(embedded->folder).string();
}

}  // namespace

LoadedCaptioner open_captioner(const std::string& model, const std::string& weights, const Runtime& runtime) {
  LoadedCaptioner captioner = load_captioner(captioner_folder(model), weights);
  spdlog::info("{}", captioner.report);
  torch::nn::Module& module = captioner.model->module();
  if (!runtime.device.is_cpu() || runtime.dtype != at::kFloat) module.to(runtime.device, runtime.dtype);
  return captioner;
}

}  // namespace fovea
