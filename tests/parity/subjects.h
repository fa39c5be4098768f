// What a parity job runs: a network of ours, made from JSON.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "fovea/vision/models/model.h"

namespace fovea::parity {

struct Subject {
  std::shared_ptr<torch::nn::Module> module;
  ImageModel* model = nullptr;                           // null for a layer
  std::function<at::Tensor(const at::Tensor&)> forward;  // input → logits, or a layer's output
};

// {"kind": "vit", …the fields of VitOptions…}: one kind a family or layer, listed in subjects.cpp. The kind "model"
// takes {"name", "num_classes", "in_channels", "image_size"} of the registry.
Subject make_subject(const nlohmann::json& description);

// For the functions that make one kind.
template <typename Impl>
Subject model_subject(std::shared_ptr<Impl> model) {
  return {model, model.get(), [impl = model.get()](const at::Tensor& x) { return impl->ImageModel::forward(x); }};
}
template <typename Impl>
Subject layer_subject(std::shared_ptr<Impl> layer) {
  return {layer, nullptr, [impl = layer.get()](const at::Tensor& x) { return impl->forward(x); }};
}

Subject cait_subject(const nlohmann::json& description);
Subject maxvit_subject(const nlohmann::json& description);
Subject module_subject(const nlohmann::json& description);
Subject position_subject(const nlohmann::json& description);
Subject resnet_subject(const nlohmann::json& description);
Subject slot_subject(const nlohmann::json& description);
Subject swin_subject(const nlohmann::json& description);
Subject vgg_subject(const nlohmann::json& description);
Subject vit_subject(const nlohmann::json& description);

}  // namespace fovea::parity
