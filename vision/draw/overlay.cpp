#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/layout.h"

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

// Values as steps of the colour map, 0…255, in place of numbers.
struct Scale {
  double low = 0;
  double high = 0;
};

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

// Blends the colours over the picture; what lies outside `seen` (in pixels of the picture) is greyed out.
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

void draw_color_bar(cv::Mat& canvas, const Layout& layout, const HeatMap& map, const Scale& scale,
                    const OverlayOptions& options) {
  const Box& bar = layout.panel;
  const auto colors = color_table(options.colors);
  const int64_t last = bar.height - 1;
  for (int64_t y = 0; y < bar.height; ++y) {
    const int64_t step = (255 * (last - y) + last / 2) / last;  // the greatest value at the top
    canvas(cv::Rect(bar.left, bar.top + y, bar.width, 1)).setTo(colors[step]);
  }
  constexpr int kTicks = 5;
  const int64_t thickness = std::max<int64_t>(1, std::lround(layout.em / 14));
  const int64_t length = std::lround(layout.em * 0.4);
  const int64_t right = bar.left + bar.width;
  double widest = 0;
  for (int i = 0; i < kTicks; ++i) {
    const double share = static_cast<double>(i) / (kTicks - 1);
    const double y = static_cast<double>(bar.top) + (1 - share) * static_cast<double>(last);
    const cv::Rect tick(right, std::clamp(std::lround(y - thickness / 2.0), bar.top, bar.top + bar.height - thickness),
                        length, thickness);
    canvas(tick).setTo(cv::Vec3b(30, 30, 30));
    const std::string text = number_text(scale.low + share * (scale.high - scale.low));
    put_text(canvas, text, right + 1.5 * length, y, {.em = layout.em * 0.9});
    widest = std::max(widest, text_width(text, layout.em * 0.9));
  }
  const std::string label = map.unit + (options.range ? " (fixed scale)" : " (least to greatest of this map)");
  const double room = static_cast<double>(bar.height);
  const double em = layout.em * std::min(0.9, 0.9 * room / text_width(label, layout.em * 0.9));
  put_text(canvas, label, right + 1.5 * length + widest + layout.em, bar.top + room / 2, {.em = em, .upward = true});
}

}  // namespace

Image draw_overlay(const Image& original, const HeatMap& map, const OverlayOptions& options) {
  check_picture(original);
  require(map.values.defined() && map.values.dim() == 2 && map.values.numel() > 0, ErrorKind::data,
          "draw_overlay: expected a map [h,w], got {} dimensions", map.values.defined() ? map.values.dim() : 0);
  HeatMap heat = map;
  heat.values = map.values.to(at::kCPU, at::kFloat).contiguous();
  require(heat.values.isfinite().all().item<bool>(), ErrorKind::numeric, "draw_overlay: {} holds NaN or infinity",
          describe(map));
  const Rectangle seen = options.seen.value_or(
      Rectangle{.width = static_cast<double>(original.width), .height = static_cast<double>(original.height)});
  require(options.opacity >= 0 && options.opacity <= 1, ErrorKind::usage, "draw_overlay: opacity {} is not in [0,1]",
          options.opacity);
  require(seen.width > 0 && seen.height > 0, ErrorKind::usage,
          "draw_overlay: expected a rectangle of positive size, got {}x{}", seen.width, seen.height);

  const Layout layout = overlay_layout(original.width, original.height, {options.title, describe(map)});
  const Scale scale = scale_of(heat.values, options);
  Image result = blank_image(layout.width, layout.height);
  cv::Mat canvas = view(result);
  draw_title(canvas, layout);
  cv::Mat picture = draw_picture(canvas, layout, original);
  const double factor = static_cast<double>(layout.factor);
  blend_heat(picture, heat,
             {.left = seen.left * factor,
              .top = seen.top * factor,
              .width = seen.width * factor,
              .height = seen.height * factor},
             scale, options);
  draw_color_bar(canvas, layout, heat, scale, options);
  return result;
}

}  // namespace fovea
