#include "fovea/vision/lens/patches.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Of −margin … size + margin − 1, in 0 … size − 1.
std::vector<int64_t> mirrored(int64_t size, int64_t margin) {
  const int64_t period = std::max<int64_t>(1, 2 * (size - 1));
  std::vector<int64_t> places;
  for (int64_t i = -margin; i < size + margin; ++i) {
    const int64_t along = ((i % period) + period) % period;
    places.push_back(std::min(along, period - along) % size);
  }
  return places;
}

// DCT-II, orthonormal: row u holds the cosine of frequency u.
std::vector<float> cosines(int64_t n) {
  std::vector<float> table(n * n);
  for (int64_t u = 0; u < n; ++u) {
    const double scale = std::sqrt((u == 0 ? 1.0 : 2.0) / static_cast<double>(n));
    for (int64_t x = 0; x < n; ++x) {
      const double angle = std::numbers::pi * (static_cast<double>(x) + 0.5) * static_cast<double>(u);
      table[u * n + x] = static_cast<float>(scale * std::cos(angle / static_cast<double>(n)));
    }
  }
  return table;
}

// Channels (v,u,color) by frequency v + u, the brightness of one frequency before its colours.
std::vector<int64_t> coarse_first(int64_t n) {
  std::vector<int64_t> channels(n * n * 3);
  std::iota(channels.begin(), channels.end(), 0);
  const auto frequency = [n](int64_t channel) { return channel / 3 / n + channel / 3 % n; };
  std::stable_sort(channels.begin(), channels.end(), [&](int64_t a, int64_t b) { return frequency(a) < frequency(b); });
  std::vector<int64_t> places(channels.size());
  for (size_t i = 0; i < channels.size(); ++i) places[channels[i]] = static_cast<int64_t>(i);
  return places;
}

}  // namespace

Patches::Patches(const Image& image, const PatchOptions& options) : image_(&image), options_(options) {
  const auto& [stride, patch, heads] = options;
  require(image.channels == 3 && image.width > 0 && image.height > 0, ErrorKind::data,
          "lens: expected a picture of three channels, got {}x{}x{}", image.width, image.height, image.channels);
  require(stride > 0 && patch >= stride && (patch - stride) % 2 == 0, ErrorKind::usage,
          "lens: expected a patch of the stride {} plus an even number, got {}", stride, patch);
  require(image.width % stride == 0 && image.height % stride == 0, ErrorKind::usage,
          "lens: {}x{} pixels are no multiples of the stride {}", image.width, image.height, stride);
  require(heads > 0 && width() % heads == 0, ErrorKind::usage,
          "lens: {} heads do not divide the {} channels of a descriptor", heads, width());
  rows_ = image.height / stride;
  columns_ = image.width / stride;
  mirrored_x_ = mirrored(image.width, (patch - stride) / 2);
  mirrored_y_ = mirrored(image.height, (patch - stride) / 2);
  if (heads > 1) {
    cosines_ = cosines(patch);
    order_ = coarse_first(patch);
  }
}

void Patches::describe(int64_t token, float* channels) const {
  const auto& [stride, patch, heads] = options_;
  const int64_t* xs = mirrored_x_.data() + token % columns_ * stride;
  const int64_t* ys = mirrored_y_.data() + token / columns_ * stride;
  float* to = channels;
  for (int64_t y = 0; y < patch; ++y) {
    const uint8_t* row = image_->row(ys[y]);
    for (int64_t x = 0; x < patch; ++x) {
      const uint8_t* pixel = row + 3 * xs[x];
      for (int c = 0; c < 3; ++c) *to++ = static_cast<float>(pixel[c]) / 255;
    }
  }
  if (heads > 1) to_frequencies(channels);
}

void Patches::to_frequencies(float* channels) const {
  const int64_t n = options_.patch;
  std::vector<float> colors(channels, channels + width());
  constexpr float third = 0.57735027F, half = 0.70710678F, sixth = 0.40824829F;  // 1/√3, 1/√2, 1/√6
  for (int64_t i = 0; i < n * n; ++i) {
    float* p = colors.data() + 3 * i;
    const float r = p[0], g = p[1], b = p[2];
    p[0] = (r + g + b) * third;
    p[1] = (r - b) * half;
    p[2] = (r - 2 * g + b) * sixth;
  }
  std::vector<float> along(width(), 0.0F);  // [y,u,color]
  for (int64_t y = 0; y < n; ++y) {
    for (int64_t u = 0; u < n; ++u) {
      for (int64_t x = 0; x < n; ++x) {
        for (int c = 0; c < 3; ++c) along[(y * n + u) * 3 + c] += cosines_[u * n + x] * colors[(y * n + x) * 3 + c];
      }
    }
  }
  std::fill(channels, channels + width(), 0.0F);
  for (int64_t v = 0; v < n; ++v) {
    for (int64_t y = 0; y < n; ++y) {
      for (int64_t i = 0; i < 3 * n; ++i) {
        channels[order_[v * n * 3 + i]] += cosines_[v * n + y] * along[y * n * 3 + i];
      }
    }
  }
}

void Patches::value(int64_t token, float* pixels) const {
  const int64_t stride = options_.stride;
  for (int64_t y = 0; y < stride; ++y) {
    const uint8_t* row = image_->row(token / columns_ * stride + y) + 3 * (token % columns_) * stride;
    for (int64_t i = 0; i < 3 * stride; ++i) *pixels++ = static_cast<float>(row[i]) / 255;
  }
}

std::vector<double> Patches::shares() const {
  const int64_t heads = options_.heads, part = width() / heads;
  if (heads == 1) return {1};
  std::vector<double> sum(width()), square(width());
  std::vector<float> channels(width());
  for (int64_t token = 0; token < count(); ++token) {
    describe(token, channels.data());
    for (int64_t c = 0; c < width(); ++c) {
      const double level = channels[c];
      sum[c] += level;
      square[c] += level * level;
    }
  }
  std::vector<double> shares(heads);
  for (int64_t c = 0; c < width(); ++c) {
    shares[c / part] += square[c] - sum[c] * sum[c] / static_cast<double>(count());
  }
  const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
  // A part without variance (a picture of one colour) compares nothing: its share may be any.
  for (double& share : shares) share = all > 0 ? std::max(share / all, 1e-6) : 1 / static_cast<double>(heads);
  return shares;
}

}  // namespace fovea
