// Small classifiers of 32×32 pictures pixel by pixel, one for each way to mix tokens.
#include "fovea/vision/models/pixels.h"
#include "fovea/vision/models/rows.h"

namespace fovea::pixel_networks {
namespace {

struct Row {
  const char* name;
  PixelMixer mixer;
};

constexpr Row table[] = {
    {"fovea_pixels_dense", PixelMixer::dense},   {"fovea_pixels_window", PixelMixer::window},
    {"fovea_pixels_linear", PixelMixer::linear}, {"fovea_pixels_linformer", PixelMixer::linformer},
    {"fovea_pixels_s4", PixelMixer::s4},         {"fovea_pixels_mamba", PixelMixer::mamba},
};

}  // namespace

std::vector<ModelRow> rows() {
  std::vector<ModelRow> rows;
  for (const Row& row : table) {
    rows.push_back({.info = {.name = row.name,
                             .family = "pixels",
                             .preprocess = {.height = 32,
                                            .width = 32,
                                            .crop_pct = 1.0,
                                            .interpolation = Interpolation::bilinear,
                                            .mean = {0.5, 0.5, 0.5},
                                            .std = {0.5, 0.5, 0.5}},
                             .num_classes = 2},
                    .build = [&row](const BuildArgs& args) -> std::shared_ptr<ImageModel> {
                      return std::make_shared<PixelClassifierImpl>(PixelClassifierOptions{
                          .mixer = {.kind = row.mixer, .height = args.image_size, .width = args.image_size, .dim = 32},
                          .depth = 4,
                          .in_channels = args.in_channels,
                          .num_classes = args.info.num_classes});
                    }});
  }
  return rows;
}

}  // namespace fovea::pixel_networks
