#include "fovea/modules/weights/added_part.h"

#include <algorithm>

namespace fovea {

MissingParts::MissingParts(const torch::nn::Module& model, const StateDict& weights) {
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    auto* layer = dynamic_cast<ExtendsPlain*>(item.value().get());
    if (layer == nullptr || layer->added_part().empty()) continue;
    const std::string prefix = item.key() + "." + layer->added_part() + ".";
    const bool there = std::any_of(weights.begin(), weights.end(),
                                   [&](const NamedTensor& named) { return named.name.starts_with(prefix); });
    if (there) continue;
    prefixes_.push_back(prefix);
    layers_.push_back(layer);
  }
}

bool MissingParts::covers(const std::string& key) const {
  return std::any_of(prefixes_.begin(), prefixes_.end(),
                     [&](const std::string& prefix) { return key.starts_with(prefix); });
}

void MissingParts::start_as_plain() {
  for (ExtendsPlain* layer : layers_) layer->start_as_plain();
}

}  // namespace fovea
