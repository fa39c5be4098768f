// After timm's data/transforms_factory.py (transforms_imagenet_eval) and data/transforms.py, and torchvision's
// transforms/functional.py (resize, center_crop, pad, to_tensor, normalize).
#include "fovea/vision/image/preprocess.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/vision/image/geometry.h"

namespace fovea {
namespace {

// One side of the crop: which pixels of the resized picture are taken, and where in the crop they begin.
struct Span {
  int64_t begin = 0;
  int64_t length = 0;
  int64_t at = 0;
};

Span cut(int64_t start, int64_t size, int64_t crop) {
  if (crop > size) return {.begin = 0, .length = size, .at = -start};
  return {.begin = start, .length = crop, .at = 0};
}

void check(const Image& image, const PreprocessOptions& options) {
  require(image.channels == 3, ErrorKind::data, "preprocess: expected 3 channels, got {}", image.channels);
  require(image.width > 0 && image.height > 0, ErrorKind::data, "preprocess: a picture of {}x{}", image.width,
          image.height);
  require(options.width > 0 && options.height > 0, ErrorKind::usage, "preprocess: an input of {}x{}", options.width,
          options.height);
  require(options.crop_pct > 0 && options.crop_pct <= 1, ErrorKind::usage, "preprocess: crop_pct {} is not in (0, 1]",
          options.crop_pct);
}

}  // namespace

Image resize_and_crop(const Image& image, const PreprocessOptions& options) {
  check(image, options);
  const CropGeometry geometry = crop_geometry(image.width, image.height, options);
  const Span across = cut(geometry.left, geometry.resized_width, options.width);
  const Span down = cut(geometry.top, geometry.resized_height, options.height);
  const Image part =
      resize_region(image, geometry.resized_width, geometry.resized_height, options.interpolation,
                    {.left = across.begin, .top = down.begin, .width = across.length, .height = down.length});
  if (part.width == options.width && part.height == options.height) return part;

  Image canvas{.width = options.width, .height = options.height};
  canvas.pixels.resize(canvas.width * canvas.height * 3);
  if (options.crop_mode == CropMode::border) {
    for (size_t i = 0; i < canvas.pixels.size(); ++i) {
      canvas.pixels[i] =
          static_cast<uint8_t>(std::clamp(std::nearbyint(255 * options.mean[i % 3]), 0.0, 255.0));  // as Python rounds
    }
  }
  for (int64_t y = 0; y < part.height; ++y) {
    std::copy_n(part.row(y), part.width * 3, canvas.row(down.at + y) + across.at * 3);
  }
  return canvas;
}

at::Tensor preprocess(const Image& image, const PreprocessOptions& options) {
  for (double deviation : options.std) {
    require(static_cast<float>(deviation) != 0, ErrorKind::usage, "preprocess: a standard deviation of 0");
  }
  const Image input = resize_and_crop(image, options);
  const int64_t pixels = input.width * input.height;
  at::Tensor result = at::empty({3, input.height, input.width}, at::kFloat);
  for (int64_t c = 0; c < 3; ++c) {
    std::array<float, 256> normalised;
    for (int value = 0; value < 256; ++value) {
      normalised[value] = (static_cast<float>(value) / 255.0f - static_cast<float>(options.mean[c])) /
                          static_cast<float>(options.std[c]);
    }
    float* plane = result.data_ptr<float>() + c * pixels;
    for (int64_t i = 0; i < pixels; ++i) plane[i] = normalised[input.pixels[i * 3 + c]];
  }
  return result;
}

}  // namespace fovea
