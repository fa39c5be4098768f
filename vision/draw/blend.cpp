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
std::vector<float> color_steps(const std::vector<float>& values, const Scale& scale) {
  std::vector<float> steps(values.size());
  const float* value = values.data();
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

void check_heat(const Heat& heat) {
  require(heat.height > 0 && heat.width > 0 && heat.values.size() == static_cast<size_t>(heat.height * heat.width),
          ErrorKind::data, "draw: expected heat of {}x{} cells, got {} values", heat.height, heat.width,
          heat.values.size());
  require(std::all_of(heat.values.begin(), heat.values.end(), [](float value) { return std::isfinite(value); }),
          ErrorKind::numeric, "draw: {} holds NaN or infinity", heat.description);
}

Scale scale_of(const Heat& heat, const OverlayOptions& options) {
  if (options.range) {
    const auto [low, high] = *options.range;
    require(std::isfinite(low) && std::isfinite(high) && low < high, ErrorKind::usage,
            "draw_heat: expected a range low < high, got {} and {}", low, high);
    return {low, high};
  }
  const auto [low, high] = std::minmax_element(heat.values.begin(), heat.values.end());
  return {*low, *high};
}

void blend_heat(cv::Mat& picture, const Heat& heat, const Rectangle& seen, const Scale& scale,
                const OverlayOptions& options) {
  const int64_t height = heat.height;
  const int64_t width = heat.width;
  const std::vector<float> steps = color_steps(heat.values, scale);
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

void outline(cv::Mat& picture, const Rectangle& place, double thickness) {
  const auto pixel = [](double value) { return static_cast<int>(std::lround(value)); };
  const int line = std::max(1, pixel(thickness));
  const auto ring = [&](int distance, const cv::Vec3b& color) {  // outside the place, which stays visible
    const cv::Rect inner(
        cv::Point(pixel(place.left) - distance, pixel(place.top) - distance),
        cv::Point(pixel(place.left + place.width) + distance, pixel(place.top + place.height) + distance));
    const cv::Rect outer(inner.x - line, inner.y - line, inner.width + 2 * line, inner.height + 2 * line);
    for (const cv::Rect& side :
         {cv::Rect(outer.x, outer.y, outer.width, line), cv::Rect(outer.x, inner.y + inner.height, outer.width, line),
          cv::Rect(outer.x, outer.y, line, outer.height),
          cv::Rect(inner.x + inner.width, outer.y, line, outer.height)}) {
      picture(side & cv::Rect(0, 0, picture.cols, picture.rows)).setTo(color);
    }
  };
  ring(0, {255, 255, 255});
  ring(line, {200, 30, 40});
}

Rectangle enlarged(const Rectangle& rectangle, double factor) {
  return {.left = rectangle.left * factor,
          .top = rectangle.top * factor,
          .width = rectangle.width * factor,
          .height = rectangle.height * factor};
}

}  // namespace fovea
