#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/layout.h"

namespace fovea {
namespace {

Image grey_picture() {
  return {.width = 500, .height = 400, .channels = 1, .pixels = std::vector<uint8_t>(500 * 400, 90)};
}

// Height of the blue bar in a column of the chart, as a share of the field.
double bar_at(const Image& picture, const PixelBox& field, double share) {
  const auto x = field.left + static_cast<int64_t>(share * static_cast<double>(field.width));
  int64_t count = 0;
  for (int64_t y = field.top; y < field.top + field.height; ++y) {
    const uint8_t* p = picture.row(y) + 3 * x;
    count += p[2] > p[0] + 50;
  }
  return static_cast<double>(count) / static_cast<double>(field.height);
}

TEST(Bars, StandInOrderOfTheirGates) {
  const at::Tensor gates = at::tensor({0.2f, 0.9f, 0.05f, 0.6f});
  const Image picture = draw_bars(grey_picture(), {.values = gates, .layer = "layer1.0.se"});
  const PixelBox field = bars_layout(500, 400, {"", "channel, layer1.0.se, 4 channels"}).panel;
  const std::vector<double> expected = {0.9, 0.6, 0.2, 0.05};
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_NEAR(bar_at(picture, field, (rank + 0.4) / 4), expected[rank], 0.012) << rank;
  }
}

TEST(Bars, ManyChannelsFitTheField) {
  const at::Tensor gates = at::linspace(0, 1, 2048).index_select(0, at::randperm(2048));
  const Image picture = draw_bars(grey_picture(), {.values = gates, .layer = "layer4.2.se"});
  const PixelBox field = bars_layout(500, 400, {"", "channel, layer4.2.se, 2048 channels"}).panel;
  for (const double share : {0.05, 0.25, 0.75, 0.95}) EXPECT_NEAR(bar_at(picture, field, share), 1 - share, 0.015);
}

TEST(Bars, TheOriginalStandsBesideThemUntouched) {
  const Image picture = draw_bars(grey_picture(), {.values = at::rand({16}), .layer = "layer1.0.se"});
  const Layout layout = bars_layout(500, 400, {"", "channel, layer1.0.se, 16 channels"});
  EXPECT_EQ(picture.width, layout.width);
  for (int64_t y = 0; y < 400; ++y) {
    for (int64_t i = 0; i < 3 * 500; ++i) {
      ASSERT_EQ(picture.row(layout.picture.top + y)[3 * layout.picture.left + i], 90);
    }
  }
}

TEST(Bars, RefuseWhatCannotBeDrawn) {
  EXPECT_ERROR(draw_bars(grey_picture(), {}), ErrorKind::data, "got 0 dimensions");
  EXPECT_ERROR(draw_bars(grey_picture(), {.values = at::zeros({2, 3})}), ErrorKind::data, "got 2 dimensions");
  EXPECT_ERROR(draw_bars({}, {.values = at::zeros({3})}), ErrorKind::data, "0x0x3");
  const at::Tensor bad = at::full({3}, std::numeric_limits<float>::infinity());
  EXPECT_ERROR(draw_bars(grey_picture(), {.values = bad, .layer = "se"}), ErrorKind::numeric, "gates of se hold NaN");
}

}  // namespace
}  // namespace fovea
