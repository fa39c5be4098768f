#include "fovea/vision/draw/matrix.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/draw/sheet.h"
#include "fovea/vision/draw/token_map.h"

namespace fovea {
namespace {

using PlotPixel = std::array<int, 3>;
constexpr PlotPixel kLeastColor = {68, 1, 84}, kMostColor = {253, 231, 37}, kAbsentCell = {225, 225, 225};

PlotPixel matrix_pixel(const Image& image, int64_t x, int64_t y) {
  const uint8_t* p = image.row(y) + 3 * x;
  return {p[0], p[1], p[2]};
}

bool is_near(const PlotPixel& a, const PlotPixel& b) {
  return std::abs(a[0] - b[0]) < 6 && std::abs(a[1] - b[1]) < 6 && std::abs(a[2] - b[2]) < 6;
}

// The bounding box of a colour, left of the colour bar.
struct Bounds {
  int64_t left = 1 << 30, top = 1 << 30, right = -1, bottom = -1, count = 0;
};
Bounds bounds_of(const Image& image, const PlotPixel& color, int64_t until) {
  Bounds box;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < until; ++x) {
      if (!is_near(matrix_pixel(image, x, y), color)) continue;
      box = {std::min(box.left, x), std::min(box.top, y), std::max(box.right, x + 1), std::max(box.bottom, y + 1),
             box.count + 1};
    }
  }
  return box;
}

// Targets go down, sources to the right: the greatest value stands where row and column say.
TEST(Matrix, PutsRowsDownAndColumnsToTheRight) {
  MatrixPanel panel{.rows = 20, .columns = 30, .values = std::vector<double>(600, 0.25)};
  panel.values[3 * 30 + 17] = 1;
  panel.values[15 * 30 + 2] = std::nan("");
  const Image image = draw_matrices({panel});
  const int64_t field = 14 * 30;  // cells of 14 pixels
  int64_t left = 0, top = 0;
  for (int64_t x = 0; x < image.width && left == 0; ++x) {
    for (int64_t y = 0; y < image.height; ++y) {
      if (!is_near(matrix_pixel(image, x, y), kLeastColor)) continue;
      left = x;
      top = y;
      break;
    }
  }
  const Bounds most = bounds_of(image, kMostColor, left + field), absent = bounds_of(image, kAbsentCell, left + field);
  EXPECT_EQ(most.left, left + 17 * 14);
  EXPECT_EQ(most.top, top + 3 * 14);
  EXPECT_EQ(most.count, 14 * 14);
  EXPECT_EQ(absent.left, left + 2 * 14);
  EXPECT_EQ(absent.top, top + 15 * 14);
  EXPECT_EQ(absent.count, 14 * 14);
  EXPECT_GE(bounds_of(image, kLeastColor, left + field).count, (600 - 2) * 14 * 14);
}

TEST(Matrix, LabelsTakeRoomAndInk) {
  MatrixPanel panel{.rows = 2, .columns = 3, .values = {1, 2, 3, 4, 5, 6}};
  const Image plain = draw_matrices({panel});
  panel.row_labels = {"a long name of a row", "b"};
  const Image rows = draw_matrices({panel});
  EXPECT_GT(rows.width, plain.width + 100);
  panel.row_labels = {};
  panel.column_labels = {"a long name of a column", "b", "c"};
  const Image columns = draw_matrices({panel});
  EXPECT_GE(columns.height, plain.height);
  EXPECT_NE(columns.pixels, plain.pixels);
  const Image axes = draw_matrices({panel}, {.x_axis = "source", .y_axis = "target"});
  EXPECT_NE(axes.pixels, columns.pixels);
}

TEST(Matrix, AFixedRangeMakesPanelsComparable) {
  const MatrixPanel half{.rows = 1, .columns = 2, .values = {0, 0.5}, .range = std::array{0.0, 1.0}};
  const Image image = draw_matrices({half});
  EXPECT_EQ(bounds_of(image, kMostColor, image.width / 2).count, 0);
}

TEST(Matrix, SvgSaysTheSame) {
  const MatrixPanel panel{.title = "a < b & c",
                          .rows = 2,
                          .columns = 2,
                          .values = {0, 1, 0.5, std::nan("")},
                          .row_labels = {"CLS", "1"},
                          .column_labels = {"x", "y"},
                          .unit = "weight"};
  const std::string svg = svg_matrices({panel}, {.title = "t", .x_axis = "source", .y_axis = "target"});
  EXPECT_TRUE(svg.starts_with("<!-- written by fovea -->\n<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  for (const char* text : {">a &lt; b &amp; c<", ">CLS<", ">y<", ">source<", ">target<", ">weight<", ">t<", "#e1e1e1",
                           "#fde725", "#440154"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(svg.find("a < b"), std::string::npos);
}

TEST(Matrix, RefusesLabelsOfAnotherNumber) {
  const MatrixPanel good{.rows = 2, .columns = 3, .values = {1, 2, 3, 4, 5, 6}};
  MatrixPanel bad = good;
  bad.row_labels = {"a", "b", "c"};
  EXPECT_ERROR(draw_matrices({bad}), ErrorKind::data, "3 labels for 2 rows");
  bad = good;
  bad.column_labels = {"a", "b"};
  EXPECT_ERROR(svg_matrices({good, bad}), ErrorKind::data, "2 labels for 3 columns");
  bad = good;
  bad.values.pop_back();
  EXPECT_ERROR(draw_matrices({bad}), ErrorKind::data, "expected 2x3 values, got 5");
  bad = good;
  bad.values[1] = std::numeric_limits<double>::infinity();
  EXPECT_ERROR(draw_matrices({bad}), ErrorKind::numeric, "infinity");
  EXPECT_ERROR(draw_matrices({}), ErrorKind::data, "no matrices");
}

TEST(TokenMap, IsTheMeanOrEachHead) {
  const auto weights = at::rand({3, 2, 4}).softmax(-1);  // [H,N,M]
  const TokenMapOptions names{.sources = {"a", "cat", "sat", "."}, .targets = {"eine", "Katze"}};
  const auto mean = token_panels(weights, names);
  ASSERT_EQ(mean.size(), 1u);
  EXPECT_EQ(mean[0].title, "mean of 3 heads");
  EXPECT_EQ(mean[0].rows, 2);
  EXPECT_EQ(mean[0].columns, 4);
  EXPECT_EQ(mean[0].row_labels, names.targets);
  EXPECT_EQ(mean[0].column_labels, names.sources);
  EXPECT_NEAR(mean[0].values[6], weights.select(1, 1).select(1, 2).mean().item<double>(), 1e-6);
  const auto heads = token_panels(weights, {.each_head = true});
  ASSERT_EQ(heads.size(), 3u);
  EXPECT_NEAR(heads[2].values[5], weights[2][1][1].item<double>(), 1e-7);
  const auto one = token_panels(weights, {.head = 1});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].title, "head 1");
  EXPECT_EQ(one[0].values, heads[1].values);
  // A mask is drawn as 0 and 1.
  const auto mask = matrix_panel(at::ones({2, 3}, at::kBool).tril(), "causal", "may look");
  EXPECT_EQ(mask.values, (std::vector<double>{1, 0, 0, 1, 1, 0}));
}

TEST(TokenMap, RefusesNamesOfAnotherNumber) {
  const auto weights = at::rand({3, 2, 4});
  EXPECT_ERROR(token_panels(weights, {.sources = {"a", "b"}}), ErrorKind::data, "2 names for 4 sources");
  EXPECT_ERROR(token_panels(weights, {.targets = {"a"}}), ErrorKind::data, "1 names for 2 targets");
  EXPECT_ERROR(token_panels(weights, {.head = 3}), ErrorKind::usage, "heads 0…2");
  EXPECT_ERROR(token_panels(at::rand({2, 4})), ErrorKind::data, "got [2,4]");
}

TEST(TokenMap, NamesTokens) {
  EXPECT_EQ(token_names({.height = 1, .width = 2, .prefix = 2}),
            (std::vector<std::string>{"CLS", "prefix 1", "0,0", "0,1"}));
}

Image one_color(int64_t width, int64_t height, const PlotPixel& color) {
  Image image{.width = width, .height = height};
  for (int64_t i = 0; i < width * height; ++i) {
    for (const int level : color) image.pixels.push_back(static_cast<uint8_t>(level));
  }
  return image;
}

TEST(Sheet, ShowsPicturesHeatAndMarks) {
  const Image green = one_color(100, 50, {0, 255, 0}), blue = one_color(60, 120, {0, 0, 255});
  const Heat heat{.height = 1, .width = 2, .values = {0, 1}};
  const std::vector<SheetPanel> panels = {{.picture = &green},
                                          {.picture = &blue, .caption = "a tall one"},
                                          {.picture = &green, .heat = heat, .mark = Rectangle{40, 20, 10, 10}}};
  const Image sheet = draw_sheet(panels, {.opacity = 1, .side = 120, .columns = 3});
  const Bounds left = bounds_of(sheet, {0, 255, 0}, sheet.width), tall = bounds_of(sheet, {0, 0, 255}, sheet.width);
  EXPECT_EQ(left.count, 120 * 60);  // the first picture alone; the third lies under heat
  EXPECT_EQ(left.right - left.left, 120);
  EXPECT_EQ(tall.count, 60 * 120);
  EXPECT_GT(tall.left, left.right);
  EXPECT_EQ(tall.top, left.top);
  EXPECT_GT(bounds_of(sheet, kMostColor, sheet.width).count, 10);
  const Bounds mark = bounds_of(sheet, {200, 30, 40}, sheet.width);
  EXPECT_GT(mark.count, 40);
  EXPECT_GT(mark.left, tall.right);
  // The colour bar comes with a unit.
  const Image with_bar = draw_sheet(panels, {.opacity = 1, .side = 120, .columns = 3, .unit = "weight"});
  EXPECT_GT(with_bar.width, sheet.width + 20);
  EXPECT_ERROR(draw_sheet({}), ErrorKind::data, "no pictures");
  EXPECT_ERROR(draw_sheet({{.picture = &green, .heat = Heat{.height = 2, .width = 2, .values = {1, 2, 3}}}}),
               ErrorKind::data, "2x2 cells, got 3 values");
}

}  // namespace
}  // namespace fovea
