#include "fovea/vision/draw/curves.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using CurvePixel = std::array<int, 3>;
constexpr CurvePixel kFirstColor = {0, 114, 178}, kSecondColor = {213, 94, 0};

// Mean height of the pixels of a colour in a column of the picture, −1 where there are none.
double height_of(const Image& image, int64_t x, const CurvePixel& color) {
  double sum = 0, count = 0;
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* p = image.row(y) + 3 * x;
    const bool alike = std::abs(p[0] - color[0]) + std::abs(p[1] - color[1]) + std::abs(p[2] - color[2]) < 40;
    sum += alike ? static_cast<double>(y) : 0;
    count += alike ? 1 : 0;
  }
  return count > 0 ? sum / count : -1;
}

// The first and the last column that a colour reaches, the key's excepted.
std::array<int64_t, 2> reach_of(const Image& image, const CurvePixel& color, int64_t until) {
  std::array<int64_t, 2> reach = {-1, -1};
  for (int64_t x = 0; x < until; ++x) {
    if (height_of(image, x, color) < 0) continue;
    if (reach[0] < 0) reach[0] = x;
    reach[1] = x;
  }
  return reach;
}

TEST(Curves, RunFromLeftToRightAndUpwards) {
  const CurvePanel panel{.title = "areas",
                         .x_axis = "share",
                         .y_axis = "probability",
                         .curves = {{"rising", {0, 0.25, 0.5, 0.75, 1}}, {"flat", {0.5, 0.5}}},
                         .range = std::array{0.0, 1.0}};
  const Image image = draw_curves({panel}, "a title");
  const int64_t field = 24 + 70 + 360 + 4;  // until behind the panel: the key has the same colours
  const auto [left, right] = reach_of(image, kFirstColor, field);
  EXPECT_NEAR(static_cast<double>(right - left), 360, 4);
  const double low = height_of(image, left + 3, kFirstColor), high = height_of(image, right - 3, kFirstColor);
  EXPECT_NEAR(low - high, 260 * (right - left - 6) / 360.0, 4);
  const double middle = height_of(image, (left + right) / 2 + 20, kSecondColor);
  EXPECT_NEAR(middle, (low + high) / 2, 3);
  EXPECT_NEAR(height_of(image, left + 30, kSecondColor), middle, 1);
  EXPECT_GE(height_of(image, field + 40, kFirstColor), 0);  // the key
}

TEST(Curves, SvgHoldsALineForEachCurveOfEachPanel) {
  const CurvePanel panel{.title = "a < b", .curves = {{"x & y", {1, 3}}, {"z", {2, 2}}}};
  const std::string svg = svg_curves({panel, panel});
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != std::string::npos; at = svg.find("<polyline", at + 1)) ++lines;
  EXPECT_EQ(lines, 4u);
  EXPECT_NE(svg.find("<title>x &amp; y</title></polyline>"), std::string::npos);
  EXPECT_NE(svg.find(">a &lt; b<"), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(Curves, RefusesWhatCannotBeDrawn) {
  const CurvePanel good{.title = "t", .curves = {{"a", {1, 2}}}};
  EXPECT_ERROR(draw_curves({}), ErrorKind::data, "no panels");
  CurvePanel bad = good;
  bad.curves.front().name = "b";
  EXPECT_ERROR(draw_curves({good, bad}), ErrorKind::data, "the same curves");
  bad.curves.clear();
  EXPECT_ERROR(svg_curves({bad}), ErrorKind::data, "one at least");
  bad.curves = {{"a", {1}}};
  EXPECT_ERROR(svg_curves({bad}), ErrorKind::data, "two values or more, got 1");
  bad.curves = {{"a", {1, std::numeric_limits<double>::quiet_NaN()}}};
  EXPECT_ERROR(svg_curves({bad}), ErrorKind::numeric, "NaN");
}

}  // namespace
}  // namespace fovea
