// Attention in windows costs the tokens times a window, counted on grids of 256 to 16,384 tokens.
#include <gtest/gtest.h>

#include "fovea/modules/window/cosine_window_attention.h"
#include "fovea/modules/window/partition_attention.h"
#include "fovea/modules/window/window_attention_layer.h"
#include "fovea/tests/support/multiply_adds.h"

namespace fovea::testing {
namespace {

constexpr int64_t kC = 8, kW = 4;

// Of one call, in float16, which no kernel of ours computes uncounted.
template <typename Layer>
int64_t cost_of(Layer layer, int64_t tokens) {
  const at::NoGradGuard no_grad;
  layer->eval();
  layer->to(at::kHalf);
  const MultiplyAdds counted;
  layer->forward(at::zeros({1, 16, tokens / 16, kC}, at::kHalf));
  return counted.count();
}

TEST(WindowCost, IsLinearInTheTokens) {
  WindowAttentionOptions options{.dim = kC, .heads = 2, .window = {kW, kW}};
  for (const int64_t N : {256, 1024, 4096, 16384}) {
    const int64_t formula = 2 * N * kW * kW * kC + 4 * N * kC * kC;  // scores and mean; q, k, v and the last product
    EXPECT_EQ(cost_of(PartitionAttention({.layer = options}), N), formula) << N;
    EXPECT_EQ(cost_of(PartitionAttention({.layer = options, .strided = true}), N), formula) << N;
    for (const int64_t shift : {0, 2}) {
      auto shifted = options;
      shifted.shift = {shift, shift};
      EXPECT_EQ(cost_of(WindowAttention(shifted), N), formula) << N;
      const int64_t offsets = (2 * kW - 1) * (2 * kW - 1);  // whose bias a small network makes, whatever N
      EXPECT_EQ(cost_of(CosineWindowAttention({.layer = shifted}), N), formula + offsets * 512 * (2 + 2)) << N;
    }
  }
}

}  // namespace
}  // namespace fovea::testing
