#include "fovea/vision/models/recognise.h"

#include <utility>

#include "fovea/modules/inference/init.h"
#include "fovea/modules/weights/adapt.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

Recognition compare(const std::string& name, const StateDict& ours) {
  const SkipInit skip;  // memory is asked for, but never touched
  const NamedModel named = create_model(name);
  Recognition result{.names = {name}};
  StateDict wanted(named_weights(named.model->module()));
  for (const NamedTensor& place : wanted) {
    const at::Tensor* found = ours.find(place.name);
    if (found == nullptr) {
      result.missing.push_back(place.name);
    } else if (!same_but_trailing_ones(found->sizes(), place.tensor.sizes())) {
      result.other_shape.push_back(place.name);
    } else {
      ++result.matched;
    }
  }
  for (const NamedTensor& tensor : ours) {
    if (wanted.find(tensor.name) == nullptr) result.unexpected.push_back(tensor.name);
  }
  return result;
}

}  // namespace

Recognition recognise(const StateDict& ours) {
  Recognition best;
  const auto rank = [](const Recognition& one) {
    return std::pair(one.matched, -static_cast<int64_t>(one.missing.size() + one.other_shape.size()));
  };
  for (const ModelInfo& info : model_table()) {
    Recognition one = compare(info.name, ours);
    if (2 * one.matched <= ours.size()) continue;
    if (best.names.empty() || rank(one) > rank(best)) {
      best = std::move(one);
    } else if (rank(one) == rank(best)) {
      best.names.push_back(info.name);
    }
  }
  return best;
}

}  // namespace fovea
