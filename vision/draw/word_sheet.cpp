#include "fovea/vision/draw/word_sheet.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/blend.h"
#include "fovea/vision/draw/canvas.h"

namespace fovea {
namespace {

constexpr double kEm = 15;  // of the words, pixels

// Where the small pictures stand.
struct Sheet {
  Sheet(const Image& original, size_t count, const WordSheetOptions& options) {
    scale = static_cast<double>(options.side) / static_cast<double>(std::max(original.width, original.height));
    width = std::max<int64_t>(1, std::llround(scale * static_cast<double>(original.width)));
    height = std::max<int64_t>(1, std::llround(scale * static_cast<double>(original.height)));
    columns = std::clamp<int64_t>(std::llround(std::ceil(std::sqrt(static_cast<double>(count)))), 1, 6);
    cell_width = std::max(width, options.side * 2 / 3) + gap;
    cell_height = height + static_cast<int64_t>(kEm * kLineHeight) + gap;
    rows = (static_cast<int64_t>(count) + columns - 1) / columns;
    title = wrap_text(options.title, kEm, static_cast<double>(columns * cell_width));
    top = gap + static_cast<int64_t>(kEm * kLineHeight * static_cast<double>(title.size())) + gap / 2;
  }

  int64_t gap = 16;
  double scale = 1;
  int64_t width = 0, height = 0;            // of a small picture
  int64_t cell_width = 0, cell_height = 0;  // with its word and the room around
  int64_t columns = 0, rows = 0, top = 0;
  std::vector<std::string> title;

  cv::Rect place(size_t index) const {
    const auto column = static_cast<int64_t>(index) % columns, row = static_cast<int64_t>(index) / columns;
    const int64_t left = gap + column * cell_width + (cell_width - gap - width) / 2;
    return cv::Rect(static_cast<int>(left), static_cast<int>(top + row * cell_height), static_cast<int>(width),
                    static_cast<int>(height));
  }
};

HeatMap checked(const HeatMap& map) {
  require(map.values.defined() && map.values.dim() == 2 && map.values.numel() > 0, ErrorKind::data,
          "draw_word_sheet: expected a map [h,w], got {} dimensions", map.values.defined() ? map.values.dim() : 0);
  HeatMap heat = map;
  heat.values = map.values.to(at::kCPU, at::kFloat).contiguous();
  require(heat.values.isfinite().all().item<bool>(), ErrorKind::numeric, "draw_word_sheet: {} holds NaN or infinity",
          describe(map));
  return heat;
}

}  // namespace

Image draw_word_sheet(const Image& original, const std::vector<WordHeat>& words, const WordSheetOptions& options) {
  check_picture(original);
  require(!words.empty(), ErrorKind::data, "draw_word_sheet: there are no words");
  require(options.side > 0, ErrorKind::usage, "draw_word_sheet: side {} must be positive", options.side);
  const Sheet sheet(original, words.size() + 1, options);
  Image result = blank_image(sheet.gap + sheet.columns * sheet.cell_width, sheet.top + sheet.rows * sheet.cell_height);
  cv::Mat canvas = view(result);
  for (size_t i = 0; i < sheet.title.size(); ++i) {
    put_text(canvas, sheet.title[i], static_cast<double>(sheet.gap),
             static_cast<double>(sheet.gap) + kEm * kLineHeight * (static_cast<double>(i) + 0.5), {.em = kEm});
  }
  cv::Mat small;
  cv::resize(to_rgb(original), small, cv::Size(static_cast<int>(sheet.width), static_cast<int>(sheet.height)), 0, 0,
             sheet.scale < 1 ? cv::INTER_AREA : cv::INTER_NEAREST);
  small.copyTo(canvas(sheet.place(0)));

  const Rectangle whole = {.width = static_cast<double>(original.width),
                           .height = static_cast<double>(original.height)};
  const Rectangle seen = options.seen.value_or(whole);
  const OverlayOptions overlay = {.colors = options.colors, .opacity = options.opacity};
  for (size_t i = 0; i < words.size(); ++i) {
    const cv::Rect place = sheet.place(i + 1);
    cv::Mat picture = canvas(place);
    small.copyTo(picture);
    const HeatMap heat = checked(words[i].map);
    blend_heat(picture, heat,
               {.left = seen.left * sheet.scale,
                .top = seen.top * sheet.scale,
                .width = seen.width * sheet.scale,
                .height = seen.height * sheet.scale},
               scale_of(heat.values, overlay), overlay);
    const auto room = static_cast<double>(sheet.cell_width - sheet.gap / 2);
    const auto lines = wrap_text(words[i].word, kEm, room);
    if (lines.empty()) continue;
    put_text(canvas, lines.front(), place.x + place.width / 2.0, place.y + place.height + kEm * kLineHeight * 0.55,
             {.em = kEm, .align = Align::center});
  }
  return result;
}

}  // namespace fovea
