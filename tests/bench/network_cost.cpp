// What the networks of the long tables cost, counted: one JSON object of {name: {"parameters", "multiply_adds"}}, on
// one picture. `network_cost slots`: fovea_seresnet_fashion with each slot; `network_cost pixels`: fovea_pixels_*.
#include <ATen/ATen.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "fovea/datasets/embedded.h"
#include "fovea/modules/channel/factory.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

// In float16, where there is no kernel of ours, every product is one of LibTorch's.
nlohmann::json cost(const NamedModel& named, at::ScalarType type = at::kHalf) {
  int64_t parameters = 0;
  torch::nn::Module& network = named.model->module();
  for (const auto& parameter : network.parameters()) parameters += parameter.numel();
  network.eval();
  network.to(type);
  const testing::MultiplyAdds counted;
  const PreprocessOptions& size = named.info.preprocess;
  named.model->forward(at::zeros({1, 3, size.height, size.width}, type));
  return {{"parameters", parameters}, {"multiply_adds", counted.count()}};
}

}  // namespace
}  // namespace fovea

int main(int count, char** arguments) {
  using namespace fovea;
  const at::NoGradGuard no_grad;
  const std::string what = count == 2 ? arguments[1] : "";
  nlohmann::ordered_json costs;
  if (what == "slots") {
    std::vector<std::string> names = channel_attention_names();
    names.insert(names.begin(), "");
    for (const std::string& name : names) {
      const auto named = create_embedded("fovea_seresnet_fashion", {.attention = BlockAttention{.name = name}});
      costs[name.empty() ? "none" : name] = cost(named);
    }
  } else if (what == "pixels") {
    for (const std::string mixer : {"dense", "window", "linear", "linformer", "s4", "mamba"}) {
      const bool scans = mixer == "s4" || mixer == "mamba";  // without attention, and S4 without float16
      costs[mixer] = cost(create_model("fovea_pixels_" + mixer), scans ? at::kFloat : at::kHalf);
    }
  } else {
    std::cerr << "usage: network_cost slots|pixels\n";
    return 2;
  }
  std::cout << costs.dump(2) << "\n";
}
