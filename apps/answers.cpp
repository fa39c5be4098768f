#include "fovea/apps/answers.h"

namespace fovea {

using Json = nlohmann::ordered_json;

Json predictions_json(const std::string& image, const std::vector<Prediction>& predictions) {
  Json list = Json::array();
  for (const Prediction& prediction : predictions) {
    list.push_back({{"label", prediction.label}, {"index", prediction.index}, {"score", prediction.score}});
  }
  return {{"image", image}, {"predictions", std::move(list)}};
}

void append_captions(Json& list, const std::string& image, const std::vector<Caption>& captions) {
  for (const Caption& caption : captions) {
    list.push_back({{"image", image},
                    {"generated_text", caption.text},
                    {"token_ids", caption.generated.tokens},
                    {"score", caption.generated.score}});
  }
}

Json attention_json(const std::string& image, const ModelInfo& model, const std::vector<LayerProfile>& layers) {
  Json root = {{"image", image},
               {"model", model.name},
               {"input", {model.preprocess.height, model.preprocess.width}},
               {"layers", Json::array()},
               {"warnings", health_warnings(layers)},
               {"pictures", Json::array()}};
  for (const LayerProfile& layer : layers) {
    Json heads = Json::array();
    for (const HeadProfile& head : layer.heads) {
      heads.push_back({{"entropy", head.entropy},
                       {"distance", head.distance},
                       {"cls", head.first},
                       {"registers", head.registers},
                       {"saturated", head.saturated},
                       {"class", name(head.kind)},
                       {"idle", head.idle},
                       {"twin", head.twin ? Json(*head.twin) : Json()}});
    }
    root["layers"].push_back({{"path", layer.path},
                              {"grid", {layer.grid.height, layer.grid.width}},
                              {"window", layer.window},
                              {"even_distance", layer.even_distance},
                              {"finite", layer.finite},
                              {"heads", std::move(heads)}});
  }
  return root;
}

std::string as_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fovea
