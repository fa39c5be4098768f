#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <span>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/layout.h"
#include "fovea/vision/image/decode.h"

namespace fovea {
namespace {

using Color = std::array<int, 3>;

Image plain(int64_t width, int64_t height, const Color& color) {
  Image image{.width = width, .height = height};
  for (int64_t i = 0; i < width * height; ++i) {
    for (const int level : color) image.pixels.push_back(static_cast<uint8_t>(level));
  }
  return image;
}

Color pixel(const Image& image, int64_t x, int64_t y) {
  const uint8_t* p = image.row(y) + 3 * x;
  return {p[0], p[1], p[2]};
}

HeatMap heat(const at::Tensor& values) {
  return {.values = values, .method = "attention", .layer = "blocks.11.attn", .detail = "", .unit = "attention weight"};
}

HeatMap one_hot(int64_t height, int64_t width, int64_t y, int64_t x) {
  at::Tensor values = at::full({height, width}, 0.01f);
  values[y][x] = 0.2f;
  return heat(values);
}

struct Point {
  double x = 0;
  double y = 0;
};

// Of the hottest pixels, in pixels of the original. Viridis goes from blue to yellow: red − blue tells the heat.
Point hottest(const Image& overlay, const Layout& layout) {
  int most = -1000;
  double x_sum = 0, y_sum = 0, count = 0;
  for (int64_t y = 0; y < layout.picture.height; ++y) {
    for (int64_t x = 0; x < layout.picture.width; ++x) {
      const Color c = pixel(overlay, layout.picture.left + x, layout.picture.top + y);
      const int value = c[0] - c[2];
      if (value > most) {
        most = value;
        x_sum = y_sum = count = 0;
      }
      if (value == most) {
        x_sum += static_cast<double>(x) + 0.5;
        y_sum += static_cast<double>(y) + 0.5;
        ++count;
      }
    }
  }
  const double factor = static_cast<double>(layout.factor);
  return {x_sum / count / factor, y_sum / count / factor};
}

Layout layout_of(const Image& original, const HeatMap& map) {
  return overlay_layout(original.width, original.height, {"", describe(map)});
}

struct Placement {
  int64_t width, height;  // of the original
  PreprocessOptions options;
  int64_t cell_y, cell_x;  // of 7×7
  Point expected;          // worked out by hand
};

TEST(Overlay, TheHeatLiesOnThePartOfTheOriginalThatTheNetworkSaw) {
  const std::vector<Placement> placements = {
      // resized to 500×256, the crop starts at 138,16; a cell is 32 of its pixels, twice that of the original
      {1000, 512, {.crop_pct = 0.875}, 2, 5, {2 * (138 + 5.5 * 32), 2 * (16 + 2.5 * 32)}},
      {512, 1000, {.crop_pct = 0.875}, 5, 1, {2 * (16 + 1.5 * 32), 2 * (138 + 5.5 * 32)}},
      // both sides to 224: cells of 100×60 pixels
      {700, 420, {.crop_pct = 1, .crop_mode = CropMode::squash}, 1, 4, {450, 90}},
      // 672×336 to 224×112, 56 rows of border above and below: cells of 96 pixels, the first row of cells starts at
      // −168
      {672, 336, {.crop_pct = 1, .crop_mode = CropMode::border}, 3, 5, {5.5 * 96, -168 + 3.5 * 96}},
      // enlarged 16 times
      {28, 28, {.height = 28, .width = 28, .crop_pct = 1}, 4, 2, {10, 18}},
  };
  for (const Placement& p : placements) {
    const Image original = plain(p.width, p.height, {128, 128, 128});
    const HeatMap map = one_hot(7, 7, p.cell_y, p.cell_x);
    const Image overlay =
        draw_overlay(original, map, {.seen = crop_geometry(p.width, p.height, p.options).in_original()});
    const Point found = hottest(overlay, layout_of(original, map));
    const double cell = static_cast<double>(p.width) / 7;
    EXPECT_NEAR(found.x, p.expected.x, cell / 20) << p.width << "x" << p.height;
    EXPECT_NEAR(found.y, p.expected.y, cell / 20) << p.width << "x" << p.height;
  }
}

TEST(Overlay, OfAMapThatIsNotSquare) {
  const Image original = plain(600, 450, {128, 128, 128});
  const HeatMap map = one_hot(3, 12, 2, 9);  // cells of 50×150
  const Point found = hottest(draw_overlay(original, map), layout_of(original, map));
  EXPECT_NEAR(found.x, 475, 2);
  EXPECT_NEAR(found.y, 413, 39);  // from the centre of the last row of cells down, all is equally hot
}

TEST(Overlay, GreysOutWhatTheNetworkDidNotSee) {
  const Image original = plain(1000, 512, {200, 40, 40});
  const HeatMap map = one_hot(7, 7, 3, 3);
  const Image overlay = draw_overlay(original, map, {.seen = Rectangle{276, 32, 448, 448}});
  const Layout layout = layout_of(original, map);
  const auto at_original = [&](int64_t x, int64_t y) {
    return pixel(overlay, layout.picture.left + x, layout.picture.top + y);
  };
  for (const auto& [x, y] : std::vector<std::pair<int, int>>{{0, 0}, {275, 200}, {724, 200}, {500, 31}, {500, 480}}) {
    const Color c = at_original(x, y);
    EXPECT_TRUE(c[0] == c[1] && c[1] == c[2]) << x << "," << y;
  }
  for (const auto& [x, y] : std::vector<std::pair<int, int>>{{276, 32}, {723, 479}, {276, 479}, {723, 32}}) {
    const Color c = at_original(x, y);
    EXPECT_GT(c[0], c[1] + 50) << x << "," << y;
  }
}

TEST(Overlay, TheColorBarEndsInTheColorsOfTheMap) {
  struct Case {
    ColorMap colors;
    Color low, high;  // as matplotlib publishes them
  };
  const std::vector<Case> cases = {{ColorMap::viridis, {68, 1, 84}, {253, 231, 37}},
                                   {ColorMap::magma, {0, 0, 4}, {252, 253, 191}},
                                   {ColorMap::inferno, {0, 0, 4}, {252, 255, 164}},
                                   {ColorMap::turbo, {48, 18, 59}, {122, 4, 3}}};
  const Image original = plain(500, 400, {128, 128, 128});
  const HeatMap map = one_hot(7, 7, 3, 3);
  const PixelBox bar = layout_of(original, map).panel;
  for (const auto& [colors, low, high] : cases) {
    const Image overlay = draw_overlay(original, map, {.colors = colors});
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(pixel(overlay, bar.left + bar.width / 2, bar.top)[c], high[c], 2);
      EXPECT_NEAR(pixel(overlay, bar.left + bar.width / 2, bar.top + bar.height - 1)[c], low[c], 2);
    }
  }
}

TEST(Overlay, BlendsByStrength) {
  const Image original = plain(500, 400, {0, 0, 0});
  at::Tensor values = at::zeros({1, 2});
  values[0][1] = 1;
  const HeatMap map = heat(values);
  const Image overlay = draw_overlay(original, map, {.opacity = 0.6});
  const PixelBox box = layout_of(original, map).picture;
  const Color weak = pixel(overlay, box.left, box.top);  // a third of 0.6 of (68,1,84)
  const Color strong = pixel(overlay, box.left + 499, box.top + 399);
  EXPECT_NEAR(weak[2], 0.2 * 84, 1.5);
  EXPECT_NEAR(strong[0], 0.6 * 253, 1.5);
  EXPECT_NEAR(strong[2], 0.6 * 37, 1.5);
}

TEST(Overlay, ContoursStandAtTheTicksOfTheBar) {
  const Image original = plain(500, 400, {100, 0, 0});
  const HeatMap map = heat(at::tensor({0.0f, 1.0f}).view({1, 2}));  // rises from 0 at pixel 125 to 1 at pixel 375
  const PixelBox box = layout_of(original, map).picture;
  const Image without = draw_overlay(original, map), with = draw_overlay(original, map, {.contours = true});
  std::vector<int64_t> starts;
  std::vector<Color> colors;
  for (int64_t x = 0; x < box.width; ++x) {
    const Color color = pixel(with, box.left + x, box.top + 100);
    if (color == pixel(without, box.left + x, box.top + 100)) continue;
    if (starts.empty() || x > starts.back() + 10) {
      starts.push_back(x);
      colors.push_back(color);
    }
  }
  ASSERT_EQ(starts.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(static_cast<double>(starts[i]), 125 + 62.5 * (i + 1), 3);
  EXPECT_EQ(colors, (std::vector<Color>{{255, 255, 255}, {20, 20, 20}, {20, 20, 20}}));
  // What the network did not see has none.
  const OverlayOptions part{.seen = Rectangle{.left = 300, .top = 0, .width = 100, .height = 400}, .contours = true};
  const Image partly = draw_overlay(original, map, part);
  for (int64_t x = 0; x < 300; ++x) ASSERT_NE(pixel(partly, box.left + x, box.top + 100), (Color{255, 255, 255}));
}

TEST(Overlay, AFixedRangeMakesPicturesComparable) {
  const Image original = plain(500, 400, {0, 0, 0});
  const HeatMap weak = heat(at::tensor({0.0f, 0.1f}).view({1, 2}));
  const HeatMap strong = heat(at::tensor({0.0f, 0.2f}).view({1, 2}));
  const PixelBox box = layout_of(original, weak).picture;
  const auto right = [&](const HeatMap& map, const OverlayOptions& options) {
    return pixel(draw_overlay(original, map, options), box.left + 499, box.top);
  };
  EXPECT_EQ(right(weak, {}), right(strong, {}));  // each scaled to itself
  const OverlayOptions fixed{.range = std::array<double, 2>{0.0, 0.2}};
  EXPECT_EQ(right(strong, fixed), right(strong, {}));
  EXPECT_NE(right(weak, fixed), right(strong, fixed));
  const HeatMap half = heat(at::full({1, 2}, 0.1f));
  EXPECT_EQ(right(weak, fixed), right(half, fixed));
}

int64_t dark(const Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom) {
  int64_t count = 0;
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; ++x) count += pixel(image, x, y)[0] < 100;
  }
  return count;
}

// Dark pixels beside one of the five ticks of the bar, from the top.
int64_t number_at_tick(const Image& overlay, const Layout& layout, int tick) {
  const int64_t right = layout.panel.left + layout.panel.width + 1, em = std::llround(layout.em);
  const int64_t y = layout.panel.top + tick * (layout.panel.height - 1) / 4;
  return dark(overlay, right + em / 2, y - em / 2, right + 2 * em, y + em / 2);
}

TEST(Overlay, AMapOfOneValueIsNotBlownUp) {
  const Image original = plain(500, 400, {128, 128, 128});
  const HeatMap map = heat(at::full({7, 7}, 0.3f));
  const Image overlay = draw_overlay(original, map);
  const PixelBox box = layout_of(original, map).picture;
  const Color first = pixel(overlay, box.left, box.top);
  for (int64_t y = 0; y < box.height; ++y) {
    for (int64_t x = 0; x < box.width; ++x) ASSERT_EQ(pixel(overlay, box.left + x, box.top + y), first);
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(number_at_tick(overlay, layout_of(original, map), i) > 10, i == 4) << i;
}

TEST(Overlay, EnlargedPixelsStaySquare) {
  Image original = plain(28, 28, {0, 0, 0});
  for (int64_t i = 0; i < 28 * 28; ++i) {
    const auto level = static_cast<uint8_t>((i / 28 + i % 28) % 2 * 255);
    std::fill_n(original.pixels.begin() + 3 * i, 3, level);
  }
  const HeatMap map = heat(at::full({7, 7}, 0.3f));
  const Image overlay = draw_overlay(original, map, {.opacity = 0});
  const PixelBox box = layout_of(original, map).picture;
  for (int64_t y = 0; y < box.height; ++y) {
    for (int64_t x = 0; x < box.width; ++x) {
      ASSERT_EQ(pixel(overlay, box.left + x, box.top + y)[0], original.row(y / 16)[3 * (x / 16)]);
    }
  }
}

TEST(Overlay, HasATitleAndNumbersBesideTheBar) {
  const Image original = plain(500, 400, {255, 255, 255});
  const HeatMap map = one_hot(7, 7, 3, 3);
  const Image overlay = draw_overlay(original, map, {.title = "resnet50"});
  const Layout layout = overlay_layout(500, 400, {"resnet50", describe(map)});
  const int64_t line = layout.picture.top / 2;
  EXPECT_GT(dark(overlay, 0, 0, layout.width, line), 100);
  EXPECT_GT(dark(overlay, 0, line, layout.width, layout.picture.top), 100);
  for (int i = 0; i < 5; ++i) EXPECT_GT(number_at_tick(overlay, layout, i), 10) << i;
  for (int64_t y = 0; y < layout.height; ++y) {  // nothing is cut off
    ASSERT_GT(pixel(overlay, layout.width - 1, y)[0], 250);
    ASSERT_GT(pixel(overlay, 0, y)[0], 250);
  }
}

TEST(Overlay, RefusesWhatCannotBeDrawn) {
  const Image original = plain(20, 10, {0, 0, 0});
  at::Tensor values = at::zeros({2, 2});
  values[1][0] = std::nanf("");
  EXPECT_ERROR(draw_overlay(original, heat(values)), ErrorKind::numeric, "attention, blocks.11.attn holds NaN");
  EXPECT_ERROR(draw_overlay(original, heat(at::zeros({4}))), ErrorKind::data, "got 1 dimensions");
  EXPECT_ERROR(draw_overlay(original, {}), ErrorKind::data, "got 0 dimensions");
  EXPECT_ERROR(draw_overlay({}, heat(at::zeros({2, 2}))), ErrorKind::data, "0x0x3");
  EXPECT_ERROR(draw_overlay(original, heat(at::zeros({2, 2})), {.opacity = 1.5}), ErrorKind::usage, "opacity 1.5");
  const OverlayOptions backward{.range = std::array<double, 2>{1.0, 0.0}};
  EXPECT_ERROR(draw_overlay(original, heat(at::zeros({2, 2})), backward), ErrorKind::usage, "got 1 and 0");
}

TEST(EncodePng, GivesBackThePixels) {
  Image image = plain(31, 17, {0, 0, 0});
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 7);
  const std::string bytes = encode_png(image);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const Image back = decode_image(std::span(data, bytes.size()));
  EXPECT_EQ(back.width, 31);
  EXPECT_EQ(back.height, 17);
  EXPECT_EQ(back.pixels, image.pixels);
}

}  // namespace
}  // namespace fovea
