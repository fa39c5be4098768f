#include "fovea/vision/explain/stitch_windows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/cloneable.h>

#include "fovea/modules/window/partition.h"
#include "fovea/modules/window/window_attention.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/explain/attention_heat.h"

namespace fovea {
namespace {

const std::vector<WindowLayout> kLayouts = {
    {14, 14, 7, 7, 0, 0, false},       {14, 14, 7, 7, 3, 3, false},     {7, 7, 7, 7, 0, 0, false},
    {10, 13, 7, 7, 3, 3, false},       {10, 13, 7, 7, 3, 3, true},      {5, 9, 4, 3, 2, 1, false},
    {5, 9, 4, 3, 2, 1, true},          {3, 8, 4, 4, 0, 2, false},       {3, 8, 4, 4, 0, 2, true},
    {14, 21, 7, 7, 0, 0, false, true}, {6, 4, 2, 4, 0, 0, false, true},
};

// Where a token stands: its window and its place there. Says by arithmetic what roll, pad and partition do.
struct Place {
  int64_t window = 0;
  int64_t place = 0;
};

Place place_of(int64_t y, int64_t x, const WindowLayout& l) {
  const int64_t down = (l.height + l.window_height - 1) / l.window_height;
  const int64_t across = (l.width + l.window_width - 1) / l.window_width;
  if (l.strided) return {y % down * across + x % across, y / down * l.window_width + x / across};
  const int64_t rolled_height = l.pad_first ? down * l.window_height : l.height;
  const int64_t rolled_width = l.pad_first ? across * l.window_width : l.width;
  const int64_t row = (y + rolled_height - l.shift_height) % rolled_height;
  const int64_t column = (x + rolled_width - l.shift_width) % rolled_width;
  return {row / l.window_height * across + column / l.window_width,
          row % l.window_height * l.window_width + column % l.window_width};
}

TEST(StitchWindows, PutsEveryPlaceBackOnItsToken) {
  at::manual_seed(1);
  constexpr int64_t kBatch = 2;
  for (const WindowLayout& l : kLayouts) {
    const at::Tensor values = at::rand({kBatch * l.windows(), l.places()});
    const at::Tensor stitched = stitch_windows(values, l);
    ASSERT_EQ(stitched.sizes(), (std::vector<int64_t>{kBatch, l.height, l.width}));
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t y = 0; y < l.height; ++y) {
        for (int64_t x = 0; x < l.width; ++x) {
          const auto [window, place] = place_of(y, x, l);
          ASSERT_EQ(stitched[b][y][x].item<float>(), values[b * l.windows() + window][place].item<float>())
              << l.height << "x" << l.width << " token " << y << "," << x;
        }
      }
    }
  }
}

TEST(StitchWindows, AMapKnowsItsWindows) {
  const AttentionMap map{.grid = {.height = 4, .width = 6}, .window = 2, .window_width = 3, .strided = true};
  EXPECT_EQ(window_layout(map), (WindowLayout{4, 6, 2, 3, 0, 0, false, true}));
}

TEST(StitchWindows, IsTheInverseOfPartition) {
  for (const WindowLayout& l : kLayouts) {
    const at::Tensor tokens = at::arange(2 * l.height * l.width, at::kFloat).view({2, l.height, l.width});
    const at::Tensor windows = to_windows(tokens.unsqueeze(-1), l).squeeze(-1);
    EXPECT_TRUE(stitch_windows(windows, l).equal(tokens)) << l.height << "x" << l.width;
  }
}

TEST(StitchWindows, ReceivedAttentionIsTheMeanOverTheQueriesOfTheWindow) {
  at::manual_seed(2);
  const WindowLayout l{5, 9, 4, 3, 2, 1, false};
  const at::Tensor weights = at::rand({2 * l.windows(), 3, l.places(), l.places()}).softmax(-1);
  const at::Tensor received = received_attention(weights, l);
  ASSERT_EQ(received.sizes(), (std::vector<int64_t>{2, 3, 5, 9}));
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t head = 0; head < 3; ++head) {
      for (int64_t token = 0; token < 45; ++token) {
        const auto [window, place] = place_of(token / 9, token % 9, l);
        double sum = 0;
        for (int64_t query = 0; query < l.places(); ++query) {
          sum += weights[b * l.windows() + window][head][query][place].item<double>();
        }
        ASSERT_NEAR(received[b][head][token / 9][token % 9].item<double>(), sum / 12, 1e-7);
      }
    }
  }
}

TEST(StitchWindows, RefusesOtherShapes) {
  const WindowLayout l{14, 14, 7, 7, 3, 3, false};
  EXPECT_ERROR(stitch_windows(at::zeros({4, 48}), l), ErrorKind::data, "batch*4");
  EXPECT_ERROR(stitch_windows(at::zeros({3, 49}), l), ErrorKind::data, "batch*4");
  EXPECT_ERROR(stitch_windows(at::zeros({49}), l), ErrorKind::data, "[batch*4,49], got [49]");
  EXPECT_ERROR(received_attention(at::zeros({4, 3, 49}), l), ErrorKind::data, "got [4,3,49]");
}

class Root : public torch::nn::Module {};

// One key draws all queries of its window: wherever the token stands, the peak of the heat is there.
TEST(StitchWindows, ThePeakFollowsAPlantedTokenThroughRealWindowAttention) {
  auto root = std::make_shared<Root>();
  auto layer = root->register_module("attn", std::make_shared<Root>());
  for (const WindowLayout& l : kLayouts) {
    const int64_t tokens = l.height * l.width;
    at::Tensor qkv = at::zeros({tokens, l.height, l.width, 3, 4});  // image i has its key at token i
    qkv.select(3, 0).fill_(1);
    for (int64_t token = 0; token < tokens; ++token) qkv[token][token / l.width][token % l.width][1].fill_(5);
    AttentionRecorder recorder(*root, {.layers = "attn"});
    window_attention(qkv.flatten(3), {.heads = 1,
                                      .window = {l.window_height, l.window_width},
                                      .shift = {l.shift_height, l.shift_width},
                                      .pad_first = l.pad_first,
                                      .module = layer.get()});
    for (int64_t token = 0; token < tokens; ++token) {
      const HeatMap heat = attention_heat(recorder.maps(), {.image = token});
      ASSERT_EQ(heat.values.sizes(), (std::vector<int64_t>{l.height, l.width}));
      ASSERT_EQ(heat.values.argmax().item<int64_t>(), token)
          << l.height << "x" << l.width << " shift " << l.shift_height << " pad first " << l.pad_first;
    }
  }
}

}  // namespace
}  // namespace fovea
