// The names of Inception-v3: timm's and torchvision's, and that with squeeze-and-excitation, which has no published
// weights.
#include "fovea/vision/models/inception.h"
#include "fovea/vision/models/rows.h"

namespace fovea::inception {
namespace {

struct Row {
  const char* name;
  bool squeeze_excite = false;
};

constexpr Row table[] = {{"inception_v3"}, {"seinception_v3", true}};

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    ModelInfo info{.name = row.name, .family = "inception"};
    info.preprocess = {.height = 299, .width = 299, .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
    rows.push_back({std::move(info), [&row](const BuildArgs& args) -> std::shared_ptr<ImageModel> {
                      return std::make_shared<InceptionImpl>(InceptionOptions{.squeeze_excite = row.squeeze_excite,
                                                                              .in_channels = args.in_channels,
                                                                              .num_classes = args.info.num_classes});
                    }});
  }
  return rows;
}

}  // namespace fovea::inception
