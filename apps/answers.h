// What commands answer with --json, and the server always.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fovea/apps/network.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/vision/explain/head_profile.h"

namespace fovea {

// {"image", "predictions": [{"label", "index", "score"}]}
nlohmann::ordered_json predictions_json(const std::string& image, const std::vector<Prediction>& predictions);

// For each caption {"image", "generated_text", "token_ids", "score"}
void append_captions(nlohmann::ordered_json& list, const std::string& image, const std::vector<Caption>& captions);

// {"image", "model", "input", "layers": [{"path", "grid", "window", "even_distance", "finite", "heads": […]}],
// "warnings", "pictures"}
nlohmann::ordered_json attention_json(const std::string& image, const ModelInfo& model,
                                      const std::vector<LayerProfile>& layers);

// As it is printed: indented, text that is no UTF-8 replaced, a line's end.
std::string as_text(const nlohmann::ordered_json& json);

}  // namespace fovea
