#include "fovea/vision/draw/sheet.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/blend.h"
#include "fovea/vision/draw/canvas.h"

namespace fovea {
namespace {

constexpr double kSheetEm = 15;  // of the text, pixels
constexpr int64_t kSheetGap = 16;
constexpr int64_t kSheetBar = 14;
constexpr size_t kCaptionLines = 3;

int64_t lines_high(size_t lines) {
  return static_cast<int64_t>(kSheetEm * kLineHeight * static_cast<double>(lines));
}

// Where the pictures stand. Each is scaled to the same longer side; cells are as large as the largest.
class SheetGrid {
 public:
  SheetGrid(const std::vector<SheetPanel>& panels, const SheetOptions& options) : side_(options.side) {
    const auto count = static_cast<int64_t>(panels.size());
    const auto square = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
    columns_ = options.columns > 0 ? std::min(options.columns, count) : std::clamp<int64_t>(square, 1, 6);
    rows_ = (count + columns_ - 1) / columns_;
    for (const SheetPanel& panel : panels) {
      const cv::Size size = size_of(*panel.picture);
      cell_width_ = std::max<int64_t>(cell_width_, size.width);
      picture_height_ = std::max<int64_t>(picture_height_, size.height);
    }
    cell_width_ = std::max(cell_width_, side_ * 2 / 3) + kSheetGap;
    for (const SheetPanel& panel : panels) {
      captions_.push_back(wrap_text(panel.caption, kSheetEm, static_cast<double>(cell_width_ - kSheetGap / 2)));
      captions_.back().resize(std::min(captions_.back().size(), kCaptionLines));
      caption_lines_ = std::max(caption_lines_, captions_.back().size());
    }
    title_ = wrap_text(options.title, kSheetEm, static_cast<double>(columns_ * cell_width_));
    top_ = kSheetGap + lines_high(title_.size()) + kSheetGap / 2;
    bar_ = options.unit.empty() ? 0 : kSheetBar + static_cast<int64_t>(1.5 * kSheetEm) + kSheetGap;
  }

  Image blank() const { return blank_image(kSheetGap + columns_ * cell_width_ + bar_, top_ + rows_ * cell_height()); }
  double scale(const Image& picture) const {
    return static_cast<double>(side_) / static_cast<double>(std::max(picture.width, picture.height));
  }
  cv::Size size_of(const Image& picture) const {
    const auto scaled = [&](int64_t pixels) {
      return std::max(1, static_cast<int>(std::lround(scale(picture) * static_cast<double>(pixels))));
    };
    return {scaled(picture.width), scaled(picture.height)};
  }
  cv::Rect place(size_t index, const Image& picture) const {
    const auto column = static_cast<int64_t>(index) % columns_, row = static_cast<int64_t>(index) / columns_;
    const cv::Size size = size_of(picture);
    const int64_t left = kSheetGap + column * cell_width_ + (cell_width_ - kSheetGap - size.width) / 2;
    return {cv::Point(static_cast<int>(left), static_cast<int>(top_ + row * cell_height())), size};
  }
  cv::Rect bar() const {
    return {static_cast<int>(kSheetGap + columns_ * cell_width_), static_cast<int>(top_), static_cast<int>(kSheetBar),
            static_cast<int>(picture_height_)};
  }
  const std::vector<std::string>& title() const { return title_; }
  const std::vector<std::string>& caption(size_t index) const { return captions_[index]; }

 private:
  int64_t cell_height() const { return picture_height_ + lines_high(caption_lines_) + kSheetGap; }

  int64_t side_, columns_ = 1, rows_ = 1, top_ = 0, bar_ = 0;
  int64_t cell_width_ = 0;  // with the room around
  int64_t picture_height_ = 0;
  size_t caption_lines_ = 0;
  std::vector<std::string> title_;
  std::vector<std::vector<std::string>> captions_;
};

void draw_sheet_bar(cv::Mat& canvas, const cv::Rect& bar, const SheetOptions& options) {
  const auto colors = color_table(options.colors);
  for (int y = 0; y < bar.height; ++y) {
    const int step = bar.height > 1 ? 255 * (bar.height - 1 - y) / (bar.height - 1) : 255;
    canvas(cv::Rect(bar.x, bar.y + y, bar.width, 1)).setTo(colors[step]);
  }
  const std::string label = options.unit + ", least to greatest of each picture";
  const double em = kSheetEm * std::min(0.85, 0.95 * bar.height / text_width(label, kSheetEm));
  put_text(canvas, label, bar.x + bar.width + kSheetEm * 0.9, bar.y + bar.height / 2.0, {.em = em, .upward = true});
}

void draw_panel(cv::Mat& canvas, const SheetPanel& panel, const cv::Rect& place, const SheetOptions& options) {
  const double scale =
      static_cast<double>(options.side) / static_cast<double>(std::max(panel.picture->width, panel.picture->height));
  cv::Mat picture = canvas(place);
  cv::resize(to_rgb(*panel.picture), picture, picture.size(), 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_NEAREST);
  if (panel.heat) {
    const Rectangle whole = {.width = static_cast<double>(panel.picture->width),
                             .height = static_cast<double>(panel.picture->height)};
    const OverlayOptions overlay = {.colors = options.colors, .opacity = options.opacity};
    blend_heat(picture, *panel.heat, enlarged(panel.seen.value_or(whole), scale), scale_of(*panel.heat, overlay),
               overlay);
  }
  if (panel.mark) outline(picture, enlarged(*panel.mark, scale), 1.5);
}

}  // namespace

Image draw_sheet(const std::vector<SheetPanel>& panels, const SheetOptions& options) {
  require(!panels.empty(), ErrorKind::data, "draw_sheet: there are no pictures");
  require(options.side > 0, ErrorKind::usage, "draw_sheet: side {} must be positive", options.side);
  for (const SheetPanel& panel : panels) {
    check_picture(*panel.picture);
    if (panel.heat) check_heat(*panel.heat);
  }
  const SheetGrid grid(panels, options);
  Image result = grid.blank();
  cv::Mat canvas = view(result);
  for (size_t i = 0; i < grid.title().size(); ++i) {
    put_text(canvas, grid.title()[i], static_cast<double>(kSheetGap),
             static_cast<double>(kSheetGap) + kSheetEm * kLineHeight * (static_cast<double>(i) + 0.5),
             {.em = kSheetEm});
  }
  for (size_t i = 0; i < panels.size(); ++i) {
    const cv::Rect place = grid.place(i, *panels[i].picture);
    draw_panel(canvas, panels[i], place, options);
    double y = place.y + place.height + kSheetEm * kLineHeight * 0.55;
    for (const std::string& line : grid.caption(i)) {
      put_text(canvas, line, place.x + place.width / 2.0, y, {.em = kSheetEm, .align = Align::center});
      y += kSheetEm * kLineHeight;
    }
  }
  if (!options.unit.empty()) draw_sheet_bar(canvas, grid.bar(), options);
  return result;
}

}  // namespace fovea
