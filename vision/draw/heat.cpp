#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/blend.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/heat.h"
#include "fovea/vision/draw/layout.h"

namespace fovea {
namespace {

void draw_color_bar(cv::Mat& canvas, const Layout& layout, const Heat& heat, const Scale& scale,
                    const OverlayOptions& options) {
  const PixelBox& bar = layout.panel;
  const auto colors = color_table(options.colors);
  const int64_t last = bar.height - 1;
  for (int64_t y = 0; y < bar.height; ++y) {
    const int64_t step = (255 * (last - y) + last / 2) / last;  // the greatest value at the top
    canvas(cv::Rect(bar.left, bar.top + y, bar.width, 1)).setTo(colors[step]);
  }
  const int64_t thickness = std::max<int64_t>(1, std::lround(layout.em / 14));
  const int64_t length = std::lround(layout.em * 0.4);
  const int64_t right = bar.left + bar.width;
  double widest = 0;
  const bool even = scale.low == scale.high;  // there is one number to say, and it is that of the least colour
  for (int i = 0; i < (even ? 1 : kBarTicks); ++i) {
    const double share = static_cast<double>(i) / (kBarTicks - 1);
    const double y = static_cast<double>(bar.top) + (1 - share) * static_cast<double>(last);
    const cv::Rect tick(right, std::clamp(std::lround(y - thickness / 2.0), bar.top, bar.top + bar.height - thickness),
                        length, thickness);
    canvas(tick).setTo(cv::Vec3b(30, 30, 30));
    const std::string text = number_text(scale.low + share * (scale.high - scale.low));
    put_text(canvas, text, right + 1.5 * length, y, {.em = layout.em * 0.9});
    widest = std::max(widest, text_width(text, layout.em * 0.9));
  }
  const std::string ends = even ? "the same everywhere" : "least to greatest of this map";
  const std::string label = heat.unit + " (" + (options.range ? options.range_name : ends) + ")";
  const double room = static_cast<double>(bar.height);
  const double em = layout.em * std::min(0.9, 0.9 * room / text_width(label, layout.em * 0.9));
  put_text(canvas, label, right + 1.5 * length + widest + layout.em, bar.top + room / 2, {.em = em, .upward = true});
}

}  // namespace

Image draw_heat(const Image& original, const Heat& heat, const OverlayOptions& options) {
  check_picture(original);
  check_heat(heat);
  const Rectangle seen = options.seen.value_or(
      Rectangle{.width = static_cast<double>(original.width), .height = static_cast<double>(original.height)});
  require(options.opacity >= 0 && options.opacity <= 1, ErrorKind::usage, "draw_heat: opacity {} is not in [0,1]",
          options.opacity);
  require(seen.width > 0 && seen.height > 0, ErrorKind::usage,
          "draw_heat: expected a rectangle of positive size, got {}x{}", seen.width, seen.height);

  const Layout layout =
      overlay_layout(original.width, original.height, {options.title, heat.description}, options.one_line);
  const Scale scale = scale_of(heat, options);
  Image result = blank_image(layout.width, layout.height);
  cv::Mat canvas = view(result);
  draw_title(canvas, layout);
  cv::Mat picture = draw_picture(canvas, layout, original);
  const double factor = static_cast<double>(layout.factor);
  blend_heat(picture, heat, enlarged(seen, factor), scale, options);
  if (options.contours) draw_contours(picture, heat, enlarged(seen, factor), scale, layout.em / 12);
  if (options.mark) outline(picture, enlarged(*options.mark, factor), layout.em / 10);
  draw_color_bar(canvas, layout, heat, scale, options);
  return result;
}

}  // namespace fovea
