#include "fovea/vision/draw/matrix.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/surface.h"

namespace fovea {
namespace {

constexpr double kPlotEm = 14;
constexpr double kSmall = 12;     // of labels and ticks
constexpr double kField = 420;    // pixels of the longer side of a matrix, about
constexpr double kMostCell = 44;  // pixels
constexpr double kNumbersFrom = 34;
constexpr double kPlotGap = 24;
constexpr int kPlotTicks = 5;
constexpr Color kPlotInk = {30, 30, 30};
constexpr Color kAbsent = {225, 225, 225};

void check_matrix(const MatrixPanel& panel) {
  require(panel.rows > 0 && panel.columns > 0 && panel.values.size() == static_cast<size_t>(panel.rows * panel.columns),
          ErrorKind::data, "draw_matrices: expected {}x{} values, got {}", panel.rows, panel.columns,
          panel.values.size());
  const auto check_labels = [](const char* what, size_t count, int64_t wanted) {
    require(count == 0 || count == static_cast<size_t>(wanted), ErrorKind::data, "draw_matrices: {} labels for {} {}",
            count, wanted, what);
  };
  check_labels("rows", panel.row_labels.size(), panel.rows);
  check_labels("columns", panel.column_labels.size(), panel.columns);
  require(std::none_of(panel.values.begin(), panel.values.end(), [](double value) { return std::isinf(value); }),
          ErrorKind::numeric, "draw_matrices: {} holds infinity", panel.title);
}

double widest(const std::vector<std::string>& labels) {
  double width = 0;
  for (const std::string& label : labels) width = std::max(width, text_width(label, kSmall));
  return width;
}

std::array<double, 2> range_of(const MatrixPanel& panel) {
  if (panel.range) return *panel.range;
  double low = INFINITY, high = -INFINITY;
  for (const double value : panel.values) {
    if (std::isnan(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  return low <= high ? std::array{low, high} : std::array{0.0, 0.0};
}

// Of one panel, in pixels from its corner.
struct PanelLayout {
  explicit PanelLayout(const MatrixPanel& panel) {
    cell = std::min(kMostCell,
                    std::max(1.0, std::floor(kField / static_cast<double>(std::max(panel.rows, panel.columns)))));
    width = cell * static_cast<double>(panel.columns);
    height = cell * static_cast<double>(panel.rows);
    upright = widest(panel.column_labels) > 0.9 * cell && !panel.column_labels.empty();
    left = 1.6 * kPlotEm + widest(panel.row_labels) + 0.6 * kPlotEm;
    top = 1.8 * kPlotEm;
    below = (upright ? widest(panel.column_labels) : kSmall) + 0.8 * kPlotEm + 1.5 * kPlotEm;
    bar = left + width + kPlotEm;
    bar_height = std::max(height, 7 * kPlotEm);
    whole_width = bar + 0.9 * kPlotEm + 5.2 * kPlotEm + 1.4 * kPlotEm;
    whole_height = top + std::max(height + below, bar_height + kPlotEm);
  }

  double cell = 0;
  double left = 0, top = 0, width = 0, height = 0;  // of the matrix
  double below = 0;                                 // room for labels and the axis
  bool upright = false;                             // the labels of columns
  double bar = 0, bar_height = 0;
  double whole_width = 0, whole_height = 0;
};

class Figure {
 public:
  Figure(const std::vector<MatrixPanel>& panels, const MatrixOptions& options) : panels_(panels), options_(options) {
    require(!panels.empty(), ErrorKind::data, "draw_matrices: there are no matrices");
    for (const MatrixPanel& panel : panels) {
      check_matrix(panel);
      layouts_.emplace_back(panel);
      cell_width_ = std::max(cell_width_, layouts_.back().whole_width + kPlotGap);
      cell_height_ = std::max(cell_height_, layouts_.back().whole_height + kPlotGap);
    }
    const auto count = static_cast<double>(panels.size());
    columns_ = options.columns > 0 ? std::min<int64_t>(options.columns, std::ssize(panels))
                                   : static_cast<int64_t>(std::ceil(std::sqrt(count)));
    width_ = kPlotGap + static_cast<double>(columns_) * cell_width_;
    title_ = wrap_text(options.title, kPlotEm, width_ - 2 * kPlotGap);
    top_ = kPlotGap + kPlotEm * kLineHeight * static_cast<double>(title_.size());
    height_ = top_ + std::ceil(count / static_cast<double>(columns_)) * cell_height_;
  }

  double width() const { return width_; }
  double height() const { return height_; }

  void paint(Surface& surface) const {
    for (size_t i = 0; i < title_.size(); ++i) {
      surface.text(title_[i], kPlotGap, kPlotGap / 2 + kPlotEm * kLineHeight * (static_cast<double>(i) + 0.5),
                   {.em = kPlotEm});
    }
    for (size_t i = 0; i < panels_.size(); ++i) {
      const auto column = static_cast<int64_t>(i) % columns_, row = static_cast<int64_t>(i) / columns_;
      paint(surface, panels_[i], layouts_[i], kPlotGap + static_cast<double>(column) * cell_width_,
            top_ + static_cast<double>(row) * cell_height_);
    }
  }

 private:
  void paint(Surface& surface, const MatrixPanel& panel, const PanelLayout& layout, double x, double y) const {
    const double left = x + layout.left, top = y + layout.top;
    surface.text(panel.title, left, y + 0.8 * kPlotEm, {.em = kPlotEm});
    paint_cells(surface, panel, layout, left, top);
    paint_labels(surface, panel, layout, left, top);
    const double bottom = top + layout.height + layout.below;
    surface.text(options_.x_axis, left + layout.width / 2, bottom - 0.7 * kPlotEm,
                 {.em = kSmall, .align = Align::center});
    surface.text(options_.y_axis, x + 0.7 * kPlotEm, top + layout.height / 2, {.em = kSmall, .upward = true});
    paint_bar(surface, panel, layout, x + layout.bar, top);
  }

  void paint_cells(Surface& surface, const MatrixPanel& panel, const PanelLayout& layout, double left,
                   double top) const {
    const auto colors = color_table(options_.colors);
    const auto [low, high] = range_of(panel);
    for (int64_t i = 0; i < panel.rows * panel.columns; ++i) {
      const double x = left + layout.cell * static_cast<double>(i % panel.columns);
      const double y = top + layout.cell * static_cast<double>(i / panel.columns);
      const double value = panel.values[i];
      if (std::isnan(value)) {
        surface.fill(x, y, layout.cell, layout.cell, kAbsent);
        continue;
      }
      const double share = high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0;
      const cv::Vec3b color = colors[std::lround(255 * share)];
      surface.fill(x, y, layout.cell, layout.cell, {color[0], color[1], color[2]});
      if (layout.cell < kNumbersFrom) continue;
      const bool dark = 299 * color[0] + 587 * color[1] + 114 * color[2] < 140'000;
      const Color ink = dark ? Color{255, 255, 255} : kPlotInk;
      surface.text(fmt::format("{:.2g}", value), x + layout.cell / 2, y + layout.cell / 2,
                   {.em = 11, .align = Align::center, .color = ink});
    }
  }

  static void paint_labels(Surface& surface, const MatrixPanel& panel, const PanelLayout& layout, double left,
                           double top) {
    const auto step = std::max<int64_t>(1, std::llround(std::ceil(1.25 * kSmall / layout.cell)));
    for (int64_t row = 0; row < std::ssize(panel.row_labels); row += step) {
      surface.text(panel.row_labels[row], left - 0.4 * kPlotEm, top + layout.cell * (static_cast<double>(row) + 0.5),
                   {.em = kSmall, .align = Align::right});
    }
    const double below = top + layout.height + 0.4 * kPlotEm;
    for (int64_t column = 0; column < std::ssize(panel.column_labels); column += layout.upright ? step : 1) {
      const std::string& label = panel.column_labels[column];
      const double x = left + layout.cell * (static_cast<double>(column) + 0.5);
      const double room = layout.upright ? text_width(label, kSmall) : kSmall;
      surface.text(label, x, below + room / 2, {.em = kSmall, .align = Align::center, .upward = layout.upright});
    }
  }

  void paint_bar(Surface& surface, const MatrixPanel& panel, const PanelLayout& layout, double left, double top) const {
    const auto colors = color_table(options_.colors);
    const auto [low, high] = range_of(panel);
    const double step = layout.bar_height / 256;
    for (int i = 0; i < 256; ++i) {
      const cv::Vec3b color = colors[255 - i];
      surface.fill(left, top + i * step, 0.9 * kPlotEm, step, {color[0], color[1], color[2]});
    }
    for (int i = 0; i < kPlotTicks; ++i) {
      const double share = static_cast<double>(i) / (kPlotTicks - 1);
      const double y = top + (1 - share) * layout.bar_height;
      surface.fill(left + 0.9 * kPlotEm, y - 0.5, 0.3 * kPlotEm, 1, kPlotInk);
      surface.text(number_text(low + share * (high - low)), left + 1.4 * kPlotEm, y, {.em = kSmall});
    }
    const double room = layout.bar_height / std::max(1.0, text_width(panel.unit, kSmall));
    surface.text(panel.unit, left + 6.2 * kPlotEm, top + layout.bar_height / 2,
                 {.em = kSmall * std::min(1.0, room), .upward = true});
  }

  const std::vector<MatrixPanel>& panels_;
  const MatrixOptions& options_;
  std::vector<PanelLayout> layouts_;
  std::vector<std::string> title_;
  int64_t columns_ = 1;
  double cell_width_ = 0, cell_height_ = 0, top_ = 0, width_ = 0, height_ = 0;
};

}  // namespace

Image draw_matrices(const std::vector<MatrixPanel>& panels, const MatrixOptions& options) {
  const Figure figure(panels, options);
  PixelSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.image();
}

std::string svg_matrices(const std::vector<MatrixPanel>& panels, const MatrixOptions& options) {
  const Figure figure(panels, options);
  SvgSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.document();
}

}  // namespace fovea
