#include "fovea/vision/draw/tiles.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/blend.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/surface.h"

namespace fovea {
namespace {

constexpr double kTileEm = 13, kTileSmall = 12;
constexpr double kTile = 84, kTileGap = 6;  // pixels of the longer side, and between tiles
constexpr double kTileMargin = 24;

Color color_at(const std::array<cv::Vec3b, 256>& table, int64_t step) {
  const cv::Vec3b& color = table[static_cast<size_t>(step)];
  return {color[0], color[1], color[2]};
}

class TileFigure {
 public:
  TileFigure(const std::vector<TileRow>& rows, const TileOptions& options)
      : rows_(rows), options_(options), colors_(color_table(options.colors)) {
    for (const TileRow& row : rows) {
      for (const Heat& heat : row.tiles) check_heat(heat);
      labels_ = std::max(labels_, text_width(row.label, kTileSmall));
      columns_ = std::max(columns_, row.tiles.size());
    }
    require(columns_ > 0, ErrorKind::data, "draw_tiles: there are no maps");
    left_ = kTileMargin + 1.6 * kTileEm + labels_ + 0.6 * kTileEm;
    bar_ = left_ + static_cast<double>(columns_) * (kTile + kTileGap) + kTileEm;
    width_ = bar_ + 3 * kTileEm + kTileMargin;
    title_ = wrap_text(options.title, kTileEm, width_ - 2 * kTileMargin);
    top_ = kTileMargin + kTileEm * kLineHeight * static_cast<double>(title_.size()) + 3 * kTileEm;
    bottom_ = top_ + static_cast<double>(rows.size()) * (kTile + kTileGap);
  }

  double width() const { return width_; }
  double height() const { return std::max(bottom_, top_ + kTileLeastBar) + kTileMargin; }

  void paint(Surface& surface) const {
    for (size_t i = 0; i < title_.size(); ++i) {
      surface.text(title_[i], kTileMargin, kTileMargin / 2 + kTileEm * kLineHeight * (static_cast<double>(i) + 0.5),
                   {.em = kTileEm});
    }
    surface.text(options_.x_axis, (left_ + bar_) / 2, top_ - 2.2 * kTileEm, {.em = kTileSmall, .align = Align::center});
    surface.text(options_.y_axis, kTileMargin + 0.6 * kTileEm, (top_ + bottom_) / 2,
                 {.em = kTileSmall, .upward = true});
    for (size_t column = 0; column < columns_; ++column) {
      surface.text(std::to_string(column), across(column) + kTile / 2, top_ - 0.8 * kTileEm,
                   {.em = kTileSmall, .align = Align::center});
    }
    for (size_t row = 0; row < rows_.size(); ++row) {
      const double y = top_ + static_cast<double>(row) * (kTile + kTileGap);
      surface.text(rows_[row].label, left_ - 0.6 * kTileEm, y + kTile / 2, {.em = kTileSmall, .align = Align::right});
      for (size_t column = 0; column < rows_[row].tiles.size(); ++column) {
        paint_tile(surface, rows_[row].tiles[column], across(column), y);
      }
    }
    paint_bar(surface);
  }

 private:
  static constexpr double kTileLeastBar = 260;  // pixels: its label needs room

  double across(size_t column) const { return left_ + static_cast<double>(column) * (kTile + kTileGap); }

  void paint_tile(Surface& surface, const Heat& heat, double left, double top) const {
    const Scale scale = scale_of(heat, {});
    const double cell = kTile / static_cast<double>(std::max(heat.height, heat.width));
    for (int64_t i = 0; i < heat.height * heat.width; ++i) {
      const double spread = scale.high - scale.low, value = heat.values[static_cast<size_t>(i)];
      const int64_t step = spread > 0 ? std::lround(255 * (value - scale.low) / spread) : 0;
      surface.fill(left + cell * static_cast<double>(i % heat.width), top + cell * static_cast<double>(i / heat.width),
                   cell, cell, color_at(colors_, step));
    }
  }

  void paint_bar(Surface& surface) const {
    const double height = std::max(bottom_ - kTileGap - top_, kTileLeastBar), step = height / 256;
    for (int i = 0; i < 256; ++i) {
      surface.fill(bar_, top_ + i * step, 0.9 * kTileEm, step, color_at(colors_, 255 - i));
    }
    const std::string label = options_.unit + ", least to greatest of each map";
    surface.text(label, bar_ + 2 * kTileEm, top_ + height / 2,
                 {.em = kTileSmall * std::min(1.0, height / text_width(label, kTileSmall)), .upward = true});
  }

  const std::vector<TileRow>& rows_;
  const TileOptions& options_;
  std::array<cv::Vec3b, 256> colors_;
  std::vector<std::string> title_;
  size_t columns_ = 0;
  double labels_ = 0, left_ = 0, bar_ = 0, width_ = 0, top_ = 0, bottom_ = 0;
};

}  // namespace

Image draw_tiles(const std::vector<TileRow>& rows, const TileOptions& options) {
  const TileFigure figure(rows, options);
  PixelSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.image();
}

std::string svg_tiles(const std::vector<TileRow>& rows, const TileOptions& options) {
  const TileFigure figure(rows, options);
  SvgSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.document();
}

}  // namespace fovea
