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

// Steps of the colour map, 0…255 and fractional, at every pixel of a picture.
class Field {
 public:
  Field(const cv::Mat& picture, const Heat& heat, const Rectangle& seen, const Scale& scale)
      : width_(heat.width),
        steps_(heat.values.size()),
        columns_(taps(picture.cols, seen.left, seen.width, heat.width)),
        rows_(taps(picture.rows, seen.top, seen.height, heat.height)),
        between_(heat.width) {
    const float* value = heat.values.data();
    const double spread = scale.high - scale.low;
    for (float& step : steps_) {  // a map of one value is all 0
      const double share = spread > 0 ? (static_cast<double>(*value++) - scale.low) / spread : 0;
      step = static_cast<float>(255 * std::clamp(share, 0.0, 1.0));
    }
  }

  // Of the pixels of row y; below 0 where the network saw nothing.
  void read(int y, std::vector<float>& line) {
    const Tap& row = rows_[y];
    for (int64_t x = 0; x < width_; ++x) {
      const float above = steps_[row.first * width_ + x];
      between_[x] = above + row.weight * (steps_[row.second * width_ + x] - above);
    }
    line.resize(columns_.size());
    for (size_t x = 0; x < line.size(); ++x) {
      const Tap& column = columns_[x];
      const float left = between_[column.first];
      line[x] = row.seen && column.seen ? left + column.weight * (between_[column.second] - left) : -1;
    }
  }

 private:
  int64_t width_;
  std::vector<float> steps_;  // of the cells
  std::vector<Tap> columns_;
  std::vector<Tap> rows_;
  std::vector<float> between_;  // cells of one row of pixels
};

// Between which two inner ticks of the colour bar; −1 where the network saw nothing.
int band(float step) {
  return step < 0 ? -1 : std::min(static_cast<int>(step * (kBarTicks - 1) / 255), kBarTicks - 2);
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
  Field field(picture, heat, seen, scale);
  const auto colors = color_table(options.colors);
  std::vector<float> steps;
  for (int y = 0; y < picture.rows; ++y) {
    field.read(y, steps);
    auto* pixel = picture.ptr<cv::Vec3b>(y);
    for (const float step : steps) {
      if (step < 0) {
        grey_out(*pixel++);
        continue;
      }
      const cv::Vec3b color = colors[std::lround(step)];
      const float opacity = static_cast<float>(options.opacity * (kWeakest + (1 - kWeakest) * step / 255));
      for (int c = 0; c < 3; ++c) {
        const float base = (*pixel)[c];
        (*pixel)[c] = static_cast<uint8_t>(std::lround(base + opacity * (static_cast<float>(color[c]) - base)));
      }
      ++pixel;
    }
  }
}

void draw_contours(cv::Mat& picture, const Heat& heat, const Rectangle& seen, const Scale& scale, double thickness) {
  Field field(picture, heat, seen, scale);
  const int line = std::max(1, static_cast<int>(std::lround(thickness)));
  std::vector<float> here, below;
  for (int y = 0; y + line < picture.rows; ++y) {
    field.read(y, here);
    field.read(y + line, below);
    for (int x = 0; x + line < picture.cols; ++x) {
      const auto [low, high] =
          std::minmax({band(here[x]), band(here[x + line]), band(below[x]), band(below[x + line])});
      if (low < 0 || low == high) continue;
      picture.at<cv::Vec3b>(y, x) =
          cv::Vec3b::all(2 * high >= kBarTicks - 1 ? 20 : 255);  // dark where the map is bright
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
