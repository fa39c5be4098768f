#include "fovea/vision/draw/curves.h"

#include <algorithm>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/surface.h"

namespace fovea {
namespace {

constexpr double kCurveEm = 14, kCurveSmall = 12;
constexpr double kCurveWidth = 360, kCurveHeight = 260;  // pixels of a field
constexpr double kCurveLeft = 5 * kCurveEm, kCurveTop = 2 * kCurveEm, kCurveBelow = 3.6 * kCurveEm;
constexpr double kCurveGap = 24;
constexpr double kKeyLine = 24;  // pixels of a line beside its name
constexpr int kCurveTicks = 5;
constexpr Color kCurveInk = {30, 30, 30}, kCurveGrid = {222, 222, 222};

// Okabe and Ito's eight, told apart by the colour blind too, and four more.
constexpr std::array<Color, 12> kCurveColors = {{{0, 114, 178},
                                                 {213, 94, 0},
                                                 {0, 158, 115},
                                                 {204, 121, 167},
                                                 {86, 180, 233},
                                                 {230, 159, 0},
                                                 {0, 0, 0},
                                                 {240, 228, 66},
                                                 {120, 80, 40},
                                                 {140, 140, 140},
                                                 {0, 90, 50},
                                                 {110, 60, 160}}};

Color color_of(size_t curve) {
  return kCurveColors[curve % kCurveColors.size()];
}

void check_curves(const std::vector<CurvePanel>& panels) {
  require(!panels.empty(), ErrorKind::data, "draw_curves: there are no panels");
  for (const CurvePanel& panel : panels) {
    require(!panel.curves.empty() &&
                std::ranges::equal(panel.curves, panels.front().curves, {}, &Curve::name, &Curve::name),
            ErrorKind::data, "draw_curves: {}: expected the same curves in every panel, one at least", panel.title);
    for (const Curve& curve : panel.curves) {
      require(curve.y.size() > 1, ErrorKind::data, "draw_curves: {}: expected two values or more, got {}", curve.name,
              curve.y.size());
      require(std::ranges::all_of(curve.y, [](double y) { return std::isfinite(y); }), ErrorKind::numeric,
              "draw_curves: {} holds NaN or infinity", curve.name);
    }
  }
}

std::array<double, 2> curve_range(const CurvePanel& panel) {
  if (panel.range) return *panel.range;
  std::array<double, 2> range = {panel.curves.front().y.front(), panel.curves.front().y.front()};
  for (const Curve& curve : panel.curves) {
    const auto [low, high] = std::ranges::minmax(curve.y);
    range = {std::min(range[0], low), std::max(range[1], high)};
  }
  return range[0] < range[1] ? range : std::array{range[0] - 0.5, range[0] + 0.5};
}

class CurveFigure {
 public:
  CurveFigure(const std::vector<CurvePanel>& panels, const std::string& title) : panels_(panels) {
    check_curves(panels);
    for (const Curve& curve : panels.front().curves) key_ = std::max(key_, text_width(curve.name, kCurveSmall));
    const auto count = static_cast<double>(panels.size());
    width_ = kCurveGap + count * (kCurveLeft + kCurveWidth + kCurveGap) + kKeyLine + kCurveEm + key_ + kCurveGap;
    title_ = wrap_text(title, kCurveEm, width_ - 2 * kCurveGap);
    top_ = kCurveGap + kCurveEm * kLineHeight * static_cast<double>(title_.size());
    const double keys = static_cast<double>(panels.front().curves.size()) * kCurveEm * kLineHeight;
    height_ = top_ + kCurveTop + std::max(kCurveHeight + kCurveBelow, keys + kCurveGap);
  }

  double width() const { return width_; }
  double height() const { return height_; }

  void paint(Surface& surface) const {
    for (size_t i = 0; i < title_.size(); ++i) {
      surface.text(title_[i], kCurveGap, kCurveGap / 2 + kCurveEm * kLineHeight * (static_cast<double>(i) + 0.5),
                   {.em = kCurveEm});
    }
    double left = kCurveGap + kCurveLeft;
    for (const CurvePanel& panel : panels_) {
      paint_axes(surface, panel, left);
      for (size_t i = 0; i < panel.curves.size(); ++i) paint_curve(surface, panel, i, left);
      left += kCurveWidth + kCurveGap + kCurveLeft;
    }
    paint_key(surface, left - kCurveLeft);
  }

 private:
  double field_top() const { return top_ + kCurveTop; }

  double height_at(const CurvePanel& panel, double value) const {
    const auto [low, high] = curve_range(panel);
    return field_top() + kCurveHeight * (1 - (value - low) / (high - low));
  }

  void paint_axes(Surface& surface, const CurvePanel& panel, double left) const {
    surface.text(panel.title, left, top_ + 0.9 * kCurveEm, {.em = kCurveEm});
    const auto [low, high] = curve_range(panel);
    const double bottom = field_top() + kCurveHeight;
    for (int i = 0; i < kCurveTicks; ++i) {
      const double share = static_cast<double>(i) / (kCurveTicks - 1), value = low + share * (high - low);
      const double y = height_at(panel, value), x = left + share * kCurveWidth;
      surface.fill(left, y - 0.5, kCurveWidth, 1, kCurveGrid);
      surface.fill(x - 0.5, field_top(), 1, kCurveHeight, kCurveGrid);
      surface.text(number_text(value), left - 0.4 * kCurveEm, y, {.em = kCurveSmall, .align = Align::right});
      surface.text(number_text(share), x, bottom + 0.8 * kCurveEm, {.em = kCurveSmall, .align = Align::center});
    }
    surface.fill(left - 0.5, field_top(), 1, kCurveHeight, kCurveInk);
    surface.fill(left, bottom - 0.5, kCurveWidth, 1, kCurveInk);
    surface.text(panel.x_axis, left + kCurveWidth / 2, bottom + 2.2 * kCurveEm,
                 {.em = kCurveSmall, .align = Align::center});
    surface.text(panel.y_axis, left - 4 * kCurveEm, field_top() + kCurveHeight / 2,
                 {.em = kCurveSmall, .upward = true});
  }

  void paint_curve(Surface& surface, const CurvePanel& panel, size_t index, double left) const {
    const Curve& curve = panel.curves[index];
    const auto last = static_cast<double>(curve.y.size() - 1);
    std::vector<PlotPoint> points;
    for (size_t i = 0; i < curve.y.size(); ++i) {
      points.push_back({left + kCurveWidth * static_cast<double>(i) / last, height_at(panel, curve.y[i])});
    }
    surface.line(points, color_of(index), curve.name);
  }

  void paint_key(Surface& surface, double left) const {
    double y = field_top() + 0.5 * kCurveEm * kLineHeight;
    const auto& curves = panels_.front().curves;
    for (size_t i = 0; i < curves.size(); ++i) {
      surface.fill(left, y - 1, kKeyLine, 2, color_of(i));
      surface.text(curves[i].name, left + kKeyLine + 0.6 * kCurveEm, y, {.em = kCurveSmall});
      y += kCurveEm * kLineHeight;
    }
  }

  const std::vector<CurvePanel>& panels_;
  std::vector<std::string> title_;
  double key_ = 0, top_ = 0, width_ = 0, height_ = 0;
};

}  // namespace

Image draw_curves(const std::vector<CurvePanel>& panels, const std::string& title) {
  const CurveFigure figure(panels, title);
  PixelSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.image();
}

std::string svg_curves(const std::vector<CurvePanel>& panels, const std::string& title) {
  const CurveFigure figure(panels, title);
  SvgSurface surface(figure.width(), figure.height());
  figure.paint(surface);
  return surface.document();
}

}  // namespace fovea
