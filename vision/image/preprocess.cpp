// After timm's data/transforms_factory.py (transforms_imagenet_eval) and data/transforms.py, and torchvision's
// transforms/functional.py (resize, center_crop, pad, to_tensor, normalize).
#include "fovea/vision/image/preprocess.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

struct Size {
  int64_t width = 0;
  int64_t height = 0;
};

// Python's round(): halves to even, which is the default mode of std::nearbyint.
int64_t round_half_even(double x) {
  return static_cast<int64_t>(std::nearbyint(x));
}

Size resized(const Image& image, const PreprocessOptions& options) {
  const Size scaled{.width = static_cast<int64_t>(std::floor(static_cast<double>(options.width) / options.crop_pct)),
                    .height = static_cast<int64_t>(std::floor(static_cast<double>(options.height) / options.crop_pct))};
  if (options.crop_mode == CropMode::squash) return scaled;
  const auto width = static_cast<double>(image.width);
  const auto height = static_cast<double>(image.height);
  if (options.crop_mode == CropMode::center && scaled.width == scaled.height) {
    const auto side = static_cast<double>(scaled.width);
    if (width <= height) return {scaled.width, static_cast<int64_t>(side * height / width)};
    return {static_cast<int64_t>(side * width / height), scaled.height};
  }
  const double across = width / static_cast<double>(scaled.width);
  const double down = height / static_cast<double>(scaled.height);
  const double ratio = options.crop_mode == CropMode::border ? std::max(across, down) : std::min(across, down);
  // A line of pixels keeps one where timm would ask Pillow for none and fail.
  return {std::max<int64_t>(round_half_even(width / ratio), 1), std::max<int64_t>(round_half_even(height / ratio), 1)};
}

// One axis of the centre: which of `size` pixels are taken, and where in the crop they begin.
struct Span {
  int64_t begin = 0;
  int64_t length = 0;
  int64_t at = 0;
};

Span center(int64_t size, int64_t crop) {
  if (crop > size) return {.begin = 0, .length = size, .at = (crop - size) / 2};
  return {.begin = round_half_even(static_cast<double>(size - crop) / 2.0), .length = crop, .at = 0};
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
  const Size size = resized(image, options);
  const Span across = center(size.width, options.width);
  const Span down = center(size.height, options.height);
  const Image part =
      resize_region(image, size.width, size.height, options.interpolation,
                    {.left = across.begin, .top = down.begin, .width = across.length, .height = down.length});
  if (part.width == options.width && part.height == options.height) return part;

  Image canvas{.width = options.width, .height = options.height};
  canvas.pixels.resize(canvas.width * canvas.height * 3);
  if (options.crop_mode == CropMode::border) {
    for (size_t i = 0; i < canvas.pixels.size(); ++i) {
      canvas.pixels[i] = static_cast<uint8_t>(std::clamp<int64_t>(round_half_even(255 * options.mean[i % 3]), 0, 255));
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
