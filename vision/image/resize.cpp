#include "fovea/vision/image/resize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Weights are fixed-point numbers with this many fractional bits. Each is kept as high·2^8 + low, both of 16 bits:
// compilers have a vector instruction for sums of 16-bit products on every x86-64, for 32-bit ones they have not.
constexpr int kFractionBits = 22;
constexpr int kLowBits = 8;
constexpr int64_t kTapGroup = 8;  // taps are padded with zero weights to whole vectors

struct Filter {
  double support;
  double (*weight)(double);
};

double triangle(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

double keys_cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// One axis: the weights of the output positions first … first+length.
struct Weights {
  int64_t taps = 0;            // per position, padding included
  std::vector<int64_t> start;  // the source pixel of a position's first tap
  std::vector<int64_t> count;  // taps without padding
  std::vector<int16_t> low, high;

  int64_t source_begin() const { return start.front(); }
  int64_t source_length() const { return start.back() + count.back() - start.front(); }
  // For a source whose first source_begin() pixels are cut off.
  void move_to_begin() {
    for (int64_t distance = start.front(); int64_t & pixel : start) pixel -= distance;
  }
};

Weights weights(int64_t source, int64_t target, Interpolation interpolation, int64_t first, int64_t length) {
  const Filter filter = interpolation == Interpolation::bilinear ? Filter{1, triangle} : Filter{2, keys_cubic};
  const double scale = static_cast<double>(source) / static_cast<double>(target);
  const double widening = std::max(scale, 1.0);
  const double support = filter.support * widening;
  const int64_t most_taps = std::min(static_cast<int64_t>(std::ceil(support)) * 2 + 1, source);

  Weights result;
  result.taps = (most_taps + kTapGroup - 1) / kTapGroup * kTapGroup;
  result.low.resize(length * result.taps);
  result.high.resize(length * result.taps);
  std::vector<double> exact(most_taps);
  for (int64_t i = 0; i < length; ++i) {
    const double center = (static_cast<double>(first + i) + 0.5) * scale;
    const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t count = std::min(static_cast<int64_t>(center + support + 0.5), source) - begin;
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      exact[k] = filter.weight((static_cast<double>(k + begin) - center + 0.5) * (1.0 / widening));
      sum += exact[k];
    }
    for (int64_t k = 0; k < count; ++k) {
      const double value = (sum != 0 ? exact[k] / sum : exact[k]) * (1 << kFractionBits);
      const auto fixed = static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
      result.low[i * result.taps + k] = static_cast<int16_t>(fixed & ((1 << kLowBits) - 1));
      result.high[i * result.taps + k] = static_cast<int16_t>(fixed >> kLowBits);
    }
    result.start.push_back(begin);
    result.count.push_back(count);
  }
  return result;
}

// Sums wrap around in between, so they are unsigned; the whole fits into 32 bits with its sign.
uint8_t to_byte(uint32_t low, uint32_t high) {
  const uint32_t sum = (high << kLowBits) + low + (1u << (kFractionBits - 1));
  return static_cast<uint8_t>(std::clamp(static_cast<int32_t>(sum) >> kFractionBits, 0, 255));
}

uint32_t product(int16_t a, int16_t b) {
  return static_cast<uint32_t>(int32_t{a} * int32_t{b});
}

// planes: the channels of one row apart, `stride` samples each, zeros behind the row. One row of output.
template <int channels>
void resample_row(const int16_t* planes, int64_t stride, const Weights& weights, uint8_t* out) {
  const auto length = static_cast<int64_t>(weights.start.size());
  const int64_t groups = weights.taps / kTapGroup;
  for (int64_t x = 0; x < length; ++x, out += channels) {
    const int16_t* low = weights.low.data() + x * weights.taps;
    const int16_t* high = weights.high.data() + x * weights.taps;
    const int16_t* pixels = planes + weights.start[x];
    uint32_t low_sum[channels] = {};
    uint32_t high_sum[channels] = {};
    for (int64_t k = 0; k < groups * kTapGroup; ++k) {
      for (int c = 0; c < channels; ++c) {
        low_sum[c] += product(low[k], pixels[c * stride + k]);
        high_sum[c] += product(high[k], pixels[c * stride + k]);
      }
    }
    for (int c = 0; c < channels; ++c) out[c] = to_byte(low_sum[c], high_sum[c]);
  }
}

template <int channels>
void resample_columns(const Image& image, const Weights& weights, int64_t top, Image& result) {
  const int64_t stride = image.width + weights.taps;
  std::vector<int16_t> planes(channels * stride);
  for (int64_t y = 0; y < result.height; ++y) {
    const uint8_t* in = image.row(top + y);
    for (int64_t x = 0; x < image.width; ++x) {
      for (int c = 0; c < channels; ++c) planes[c * stride + x] = in[x * channels + c];
    }
    resample_row<channels>(planes.data(), stride, weights, result.row(y));
  }
}

// The rows [top, top+height) of image → the columns of `weights`.
Image resample_columns(const Image& image, const Weights& weights, int64_t top, int64_t height) {
  Image result{.width = static_cast<int64_t>(weights.start.size()), .height = height, .channels = image.channels};
  result.pixels.resize(result.width * height * image.channels);
  if (image.channels == 3) {
    resample_columns<3>(image, weights, top, result);
  } else {
    resample_columns<1>(image, weights, top, result);
  }
  return result;
}

// The columns [left, left+width) of image → the rows of `weights`.
Image resample_rows(const Image& image, const Weights& weights, int64_t left, int64_t width) {
  Image result{.width = width, .height = static_cast<int64_t>(weights.start.size()), .channels = image.channels};
  const int64_t samples = width * image.channels;
  result.pixels.resize(samples * result.height);
  std::vector<uint32_t> low_sum(samples);
  std::vector<uint32_t> high_sum(samples);
  for (int64_t y = 0; y < result.height; ++y) {
    std::ranges::fill(low_sum, 0);
    std::ranges::fill(high_sum, 0);
    for (int64_t k = 0; k < weights.count[y]; ++k) {
      const int16_t low = weights.low[y * weights.taps + k];
      const int16_t high = weights.high[y * weights.taps + k];
      const uint8_t* in = image.row(weights.start[y] + k) + left * image.channels;
      for (int64_t x = 0; x < samples; ++x) {
        low_sum[x] += product(low, in[x]);
        high_sum[x] += product(high, in[x]);
      }
    }
    uint8_t* out = result.row(y);
    for (int64_t x = 0; x < samples; ++x) out[x] = to_byte(low_sum[x], high_sum[x]);
  }
  return result;
}

Image crop(const Image& image, const Region& region) {
  Image result{.width = region.width, .height = region.height, .channels = image.channels};
  const int64_t row_bytes = region.width * image.channels;
  result.pixels.resize(row_bytes * region.height);
  for (int64_t y = 0; y < region.height; ++y) {
    std::copy_n(image.row(region.top + y) + region.left * image.channels, row_bytes, result.row(y));
  }
  return result;
}

// The source pixel under each output position first … first+length. Pillow adds the steps up, which rounds otherwise
// than a product.
std::vector<int64_t> nearest_positions(int64_t source, int64_t target, int64_t first, int64_t length) {
  const double step = static_cast<double>(source) / static_cast<double>(target);
  std::vector<int64_t> result;
  double position = step * 0.5;
  for (int64_t i = 0; i < first + length; ++i, position += step) {
    if (i >= first) result.push_back(std::min(static_cast<int64_t>(position), source - 1));
  }
  return result;
}

Image resize_nearest(const Image& image, int64_t width, int64_t height, const Region& region) {
  const std::vector<int64_t> columns = nearest_positions(image.width, width, region.left, region.width);
  const std::vector<int64_t> rows = nearest_positions(image.height, height, region.top, region.height);
  Image result{.width = region.width, .height = region.height, .channels = image.channels};
  result.pixels.resize(region.width * region.height * image.channels);
  for (int64_t y = 0; y < region.height; ++y) {
    for (int64_t x = 0; x < region.width; ++x) {
      std::copy_n(image.row(rows[y]) + columns[x] * image.channels, image.channels, result.row(y) + x * image.channels);
    }
  }
  return result;
}

// The order of the passes shows, as the first one rounds to 8 bits. Pillow's rule since version 13.0; until then it
// always took the columns first.
bool rows_first(const Image& image, int64_t width, int64_t height) {
  return image.height > height && image.height - height > 2 * (image.width - width);
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height, Interpolation interpolation) {
  return resize_region(image, width, height, interpolation, {.width = width, .height = height});
}

Image resize_region(const Image& image, int64_t width, int64_t height, Interpolation interpolation,
                    const Region& region) {
  require(image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
              std::ssize(image.pixels) == image.width * image.height * image.channels,
          ErrorKind::data, "resize: expected a picture of 1 or 3 channels, got {}x{}x{} with {} bytes", image.width,
          image.height, image.channels, image.pixels.size());
  require(width > 0 && height > 0 && region.left >= 0 && region.top >= 0 && region.width > 0 && region.height > 0 &&
              region.left + region.width <= width && region.top + region.height <= height,
          ErrorKind::data, "resize: a region {}x{} at {},{} of {}x{}", region.width, region.height, region.left,
          region.top, width, height);
  if (image.width == width && image.height == height) return crop(image, region);
  if (interpolation == Interpolation::nearest) return resize_nearest(image, width, height, region);

  const auto across = [&] { return weights(image.width, width, interpolation, region.left, region.width); };
  const auto down = [&] { return weights(image.height, height, interpolation, region.top, region.height); };
  // An axis that keeps its size is not resampled.
  if (image.height == height) return resample_columns(image, across(), region.top, region.height);
  if (image.width == width) return resample_rows(image, down(), region.left, region.width);

  Weights columns = across();
  Weights rows = down();
  if (rows_first(image, width, height)) {
    const Image part = resample_rows(image, rows, columns.source_begin(), columns.source_length());
    columns.move_to_begin();
    return resample_columns(part, columns, 0, part.height);
  }
  const Image part = resample_columns(image, columns, rows.source_begin(), rows.source_length());
  rows.move_to_begin();
  return resample_rows(part, rows, 0, part.width);
}

}  // namespace fovea
