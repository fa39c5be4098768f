#include "fovea/vision/draw/blend.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"

namespace fovea {
namespace {

constexpr double kWeakest = 1.0 / 3;  // opacity of the weakest heat, as a share of the strongest's

// Between which two cells of a side a pixel lies, and how near to the second.
struct Tap {
  int64_t first = 0;
  int64_t second = 0;
  float weight = 0;
  bool seen = false;  // inside the rectangle of the map
};

// For each pixel of the picture along one side: cells of `count` spread evenly over [start, start + length).
std::vector<Tap> taps(int64_t pixels, double start, double length, int64_t count) {
  std::vector<Tap> result(pixels);
  for (int64_t i = 0; i < pixels; ++i) {
    const double along = (static_cast<double>(i) + 0.5 - start) / length;  // 0…1 over the map
    const double cell = std::clamp(along * static_cast<double>(count) - 0.5, 0.0, static_cast<double>(count - 1));
    const int64_t first = static_cast<int64_t>(cell);
    result[i] = {.first = first,
                 .second = std::min(first + 1, count - 1),
                 .weight = static_cast<float>(cell - static_cast<double>(first)),
                 .seen = along >= 0 && along < 1};
  }
  return result;
}

// [h,w] steps of the colour map, fractional; a map of one value is all 0.
std::vector<float> color_steps(const at::Tensor& values, const Scale& scale) {
  std::vector<float> steps(values.numel());
  const float* value = values.const_data_ptr<float>();
  const double spread = scale.high - scale.low;
  for (float& step : steps) {
    const double share = spread > 0 ? (static_cast<double>(*value++) - scale.low) / spread : 0;
    step = static_cast<float>(255 * std::clamp(share, 0.0, 1.0));
  }
  return steps;
}

void grey_out(cv::Vec3b& pixel) {
  const int grey = (299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2]) / 1000;
  pixel = cv::Vec3b::all(static_cast<uint8_t>(grey / 2 + 110));
}

}  // namespace

Scale scale_of(const at::Tensor& values, const OverlayOptions& options) {
  if (options.range) {
    const auto [low, high] = *options.range;
    require(std::isfinite(low) && std::isfinite(high) && low < high, ErrorKind::usage,
            "draw_overlay: expected a range low < high, got {} and {}", low, high);
    return {low, high};
  }
  const float* first = values.const_data_ptr<float>();
  const auto [low, high] = std::minmax_element(first, first + values.numel());
  return {*low, *high};
}

void blend_heat(cv::Mat& picture, const HeatMap& map, const Rectangle& seen, const Scale& scale,
                const OverlayOptions& options) {
  const int64_t height = map.values.size(0);
  const int64_t width = map.values.size(1);
  const std::vector<float> steps = color_steps(map.values, scale);
  const std::vector<Tap> columns = taps(picture.cols, seen.left, seen.width, width);
  const std::vector<Tap> rows = taps(picture.rows, seen.top, seen.height, height);
  const auto colors = color_table(options.colors);
  std::vector<float> line(width);
  for (int y = 0; y < picture.rows; ++y) {
    const Tap& row = rows[y];
    for (int64_t x = 0; x < width; ++x) {
      const float above = steps[row.first * width + x];
      line[x] = above + row.weight * (steps[row.second * width + x] - above);
    }
    auto* pixel = picture.ptr<cv::Vec3b>(y);
    for (int x = 0; x < picture.cols; ++x, ++pixel) {
      const Tap& column = columns[x];
      if (!row.seen || !column.seen) {
        grey_out(*pixel);
        continue;
      }
      const float step = line[column.first] + column.weight * (line[column.second] - line[column.first]);
      const cv::Vec3b color = colors[std::lround(step)];
      const float opacity = static_cast<float>(options.opacity * (kWeakest + (1 - kWeakest) * step / 255));
      for (int c = 0; c < 3; ++c) {
        const float base = (*pixel)[c];
        (*pixel)[c] = static_cast<uint8_t>(std::lround(base + opacity * (static_cast<float>(color[c]) - base)));
      }
    }
  }
}

}  // namespace fovea
