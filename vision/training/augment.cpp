#include "fovea/vision/training/augment.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Position of `x` after mirroring at both ends: −1 → 1, n → n−2.
int64_t reflected(int64_t x, int64_t n) {
  if (x < 0) x = -x;
  return x < n ? x : 2 * (n - 1) - x;
}

void move(Image& image, int64_t down, int64_t right, bool mirrored) {
  const Image source = image;
  const int64_t c = image.channels;
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* from = source.row(reflected(y - down, image.height));
    uint8_t* to = image.row(y);
    for (int64_t x = 0; x < image.width; ++x) {
      const int64_t shown = mirrored ? image.width - 1 - x : x;
      std::copy_n(from + reflected(shown - right, image.width) * c, c, to + x * c);
    }
  }
}

void erase(Image& image, Random& random) {
  const double area = static_cast<double>(image.width * image.height) * (0.02 + 0.23 * random.uniform());
  const double aspect = std::exp(std::log(0.3) + (std::log(3.3) - std::log(0.3)) * random.uniform());
  const int64_t height = std::clamp<int64_t>(std::llround(std::sqrt(area * aspect)), 1, image.height);
  const int64_t width = std::clamp<int64_t>(std::llround(std::sqrt(area / aspect)), 1, image.width);
  const int64_t top = random.below(image.height - height + 1);
  const int64_t left = random.below(image.width - width + 1);
  const auto value = static_cast<uint8_t>(random.below(256));
  for (int64_t y = top; y < top + height; ++y) {
    std::fill_n(image.row(y) + left * image.channels, width * image.channels, value);
  }
}

}  // namespace

void check(const AugmentOptions& options) {
  require(options.shift >= 0, ErrorKind::usage, "augment: shift {} is negative", options.shift);
  require(options.erase >= 0 && options.erase <= 1, ErrorKind::usage, "augment: erase {} is no probability",
          options.erase);
}

void augment(Image& image, const AugmentOptions& options, Random& random) {
  require(options.shift < std::min(image.width, image.height) || options.shift == 0, ErrorKind::usage,
          "augment: shift {} is not smaller than the picture of {}x{}", options.shift, image.width, image.height);
  const bool mirrored = options.flip && random.below(2) == 1;
  const int64_t down = random.below(2 * options.shift + 1) - options.shift;
  const int64_t right = random.below(2 * options.shift + 1) - options.shift;
  if (mirrored || down != 0 || right != 0) move(image, down, right, mirrored);
  if (options.erase > 0 && random.uniform() < options.erase) erase(image, random);
}

}  // namespace fovea
