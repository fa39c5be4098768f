#include "fovea/apps/shipped.h"

#include <spdlog/spdlog.h>

namespace fovea {

bool has_colour(const Image& picture) {
  if (picture.channels != 3) return false;
  for (size_t i = 0; i + 2 < picture.pixels.size(); i += 3) {
    const uint8_t* rgb = &picture.pixels[i];
    if (rgb[0] != rgb[1] || rgb[1] != rgb[2]) return true;
  }
  return false;
}

void warn_of_shipped_networks() {
  spdlog::warn(
      "the shipped networks know only clothes (the default of classify: grey pictures of one article) and scenes (the "
      "default of caption; fovea_cbamresnet_scenes and fovea_vit_scenes; fovea scenes draws them). For photographs "
      "take published weights: fovea classify --model resnet50 --weights FILE (fovea models lists the names), fovea "
      "caption "
      "--model DIR of nlpconnect/vit-gpt2-image-captioning or Salesforce/blip-image-captioning-base");
}

}  // namespace fovea
