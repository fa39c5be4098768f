#include "fovea/vision/image/geometry.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Python's round(): ties go to the even number.
int64_t round_even(double value) {
  return static_cast<int64_t>(std::nearbyint(value));
}

// Where a crop starts on a side; a side that is too short is padded by the odd pixel more at its end.
int64_t crop_start(int64_t side, int64_t crop) {
  return crop > side ? -((crop - side) / 2) : round_even(static_cast<double>(side - crop) / 2);
}

struct Size {
  int64_t width = 0;
  int64_t height = 0;
};

// After timm's transforms_imagenet_eval and torchvision's Resize,
// https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/transforms_factory.py
Size resized_size(int64_t width, int64_t height, const PreprocessOptions& options) {
  const auto scale = [&](int64_t side) {
    return static_cast<int64_t>(std::floor(static_cast<double>(side) / options.crop_pct));
  };
  const Size target{scale(options.width), scale(options.height)};
  if (options.crop_mode == CropMode::squash) return target;

  if (options.crop_mode == CropMode::center && target.width == target.height) {
    // The shorter side becomes the target, the longer one is cut to whole pixels.
    const auto longer = [&](int64_t side, int64_t shorter) {
      return static_cast<int64_t>(static_cast<double>(target.width * side) / static_cast<double>(shorter));
    };
    if (width <= height) return {target.width, longer(height, width)};
    return {longer(width, height), target.height};
  }
  const double across = static_cast<double>(width) / static_cast<double>(target.width);
  const double down = static_cast<double>(height) / static_cast<double>(target.height);
  const double ratio = options.crop_mode == CropMode::border ? std::max(down, across) : std::min(down, across);
  const auto shrink = [&](int64_t side) { return std::max<int64_t>(1, round_even(static_cast<double>(side) / ratio)); };
  return {shrink(width), shrink(height)};
}

}  // namespace

Rectangle CropGeometry::in_original() const {
  const double across = static_cast<double>(original_width) / static_cast<double>(resized_width);
  const double down = static_cast<double>(original_height) / static_cast<double>(resized_height);
  return {.left = static_cast<double>(left) * across,
          .top = static_cast<double>(top) * down,
          .width = static_cast<double>(width) * across,
          .height = static_cast<double>(height) * down};
}

CropGeometry crop_geometry(int64_t width, int64_t height, const PreprocessOptions& options) {
  require(width > 0 && height > 0 && options.width > 0 && options.height > 0, ErrorKind::usage,
          "crop_geometry: expected positive sizes, got a picture of {}x{} and an input of {}x{}", width, height,
          options.width, options.height);
  require(options.crop_pct > 0 && options.crop_pct <= 1, ErrorKind::usage,
          "crop_geometry: crop_pct {} is not in (0, 1]", options.crop_pct);
  const Size resized = resized_size(width, height, options);
  return {.original_width = width,
          .original_height = height,
          .resized_width = resized.width,
          .resized_height = resized.height,
          .left = crop_start(resized.width, options.width),
          .top = crop_start(resized.height, options.height),
          .width = options.width,
          .height = options.height};
}

}  // namespace fovea
