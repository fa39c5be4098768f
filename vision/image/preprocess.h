// From a decoded picture to the tensor a model takes, number for number as timm and Pillow do it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "fovea/vision/image/image.h"
#include "fovea/vision/image/resize.h"

namespace at {
class Tensor;
}

namespace fovea {

enum class CropMode {
  center,  // shortest side to size/crop_pct, then the centre (timm, torchvision)
  squash,  // both sides to size/crop_pct, aspect lost, then the centre (Hugging Face with crop_pct 1)
  border,  // longest side to size/crop_pct, the rest filled with the mean colour
};

struct PreprocessOptions {
  int64_t height = 224;  // pixels of the network's input
  int64_t width = 224;
  double crop_pct = 0.875;  // input side / resized side
  CropMode crop_mode = CropMode::center;
  Interpolation interpolation = Interpolation::bicubic;
  std::array<double, 3> mean = {0.485, 0.456, 0.406};  // of RGB in 0…1
  std::array<double, 3> std = {0.229, 0.224, 0.225};
};

// image (RGB, 8 bit) → float32 [3,height,width], (pixel/255 − mean)/std.
at::Tensor preprocess(const Image& image, const PreprocessOptions& options);

// The resized and cropped picture before normalisation.
Image resize_and_crop(const Image& image, const PreprocessOptions& options);

}  // namespace fovea
