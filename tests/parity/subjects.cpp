#include "subjects.h"

#include <nlohmann/json.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/models/registry.h"

namespace fovea::parity {
namespace {

std::optional<int64_t> number(const nlohmann::json& description, const char* key) {
  const auto found = description.find(key);
  return found == description.end() ? std::nullopt : std::optional(found->get<int64_t>());
}

Subject named_subject(const nlohmann::json& description) {
  const auto model = create_model(description.at("name"), {.num_classes = number(description, "num_classes"),
                                                           .in_channels = number(description, "in_channels"),
                                                           .image_size = number(description, "image_size")})
                         .model;
  // The model owns its module: the one pointer keeps both alive.
  return {std::shared_ptr<torch::nn::Module>(model, &model->module()), model.get(),
          [impl = model.get()](const at::Tensor& x) { return impl->forward(x); }};
}

struct SubjectKind {
  const char* name;
  Subject (*make)(const nlohmann::json&);
};

constexpr SubjectKind kinds[] = {
    {"cait", cait_subject},         {"layer", module_subject},  {"maxvit", maxvit_subject}, {"model", named_subject},
    {"position", position_subject}, {"resnet", resnet_subject}, {"slot", slot_subject},     {"swin", swin_subject},
    {"vgg", vgg_subject},           {"vit", vit_subject},
};

}  // namespace

Subject make_subject(const nlohmann::json& description) {
  const std::string name = description.at("kind");
  for (const SubjectKind& kind : kinds) {
    if (name == kind.name) return kind.make(description);
  }
  fail(ErrorKind::usage, "parity_tool: no subject of kind {}", name);
}

}  // namespace fovea::parity
