// What is said of time and memory, by counting multiply-adds and bytes.
#include <gtest/gtest.h>

#include <fstream>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/sparse/sparse_attention.h"
#include "fovea/tests/claims/figure.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

at::Tensor tokens(int64_t count, int64_t width) {
  return at::randn({1, 1, count, width});
}

TEST(Claim, TenTimesTheTokensCostAHundredTimes) {
  const auto cost = [](int64_t N, bool sparse) {
    const auto x = tokens(N, 16);
    const SparseLayout layout(sparse ? sliding_pattern(N, 8) : sliding_pattern(1, 1), 8);
    const MultiplyAdds counted;
    if (sparse) {
      sparse_attention(x, x, x, layout);
    } else {
      attention(x, x, x, {.backend = "reference"});
    }
    return static_cast<double>(counted.count());
  };
  EXPECT_EQ(cost(400, false), 2.0 * 400 * 400 * 16);
  const double dense = cost(4000, false) / cost(400, false), window = cost(4000, true) / cost(400, true);
  figure("ten times the tokens: {:.0f} times the multiply-adds, in windows {:.1f} times", dense, window);
  EXPECT_EQ(dense, 100);
  EXPECT_NEAR(window, 10, 0.5);
}

// Most memory that the process has held since forget_peak, bytes.
int64_t resident_peak() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kilobytes = 0;
  while (status >> word && word != "VmHWM:") {
  }
  status >> kilobytes;
  return kilobytes * 1024;
}

void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

// 65,536² scores of 4 bytes are 17.2 GB. The tiled core gives the answer without ever holding them.
TEST(Claim, TheTiledCoreHoldsNoScores) {
  const at::NoGradGuard no_grad;
  const auto largest = [](int64_t N, const char* backend) {
    const auto x = tokens(N, 16);
    const AllocatedBytes counted;
    attention(x, x, x, {.backend = backend});
    return counted.largest();
  };
  EXPECT_EQ(largest(512, "reference"), 512 * 512 * 4);
  EXPECT_EQ(largest(2048, "reference"), 2048 * 2048 * 4);
  EXPECT_EQ(int64_t{65536} * 65536 * 4, 17'179'869'184);
  EXPECT_EQ(largest(16384, "cpu"), 16384 * 16 * 4);

  constexpr int64_t N = 65536;
  const auto x = tokens(N, 16);
  forget_peak();
  const int64_t before = resident_peak();
  const AllocatedBytes counted;
  const auto y = attention(x, x, x, {.backend = "cpu"});
  const double process = static_cast<double>(resident_peak() - before);
  figure("{} tokens: 17.18 GB of scores; the tiled core allocates {:.1f} MB, the process grows by {:.1f} MB", N,
         static_cast<double>(counted.peak()) / 1e6, process / 1e6);
  EXPECT_LE(counted.peak(), 2 * N * 16 * 4);
  EXPECT_LE(process, 100e6);
  // A few rows by the formula.
  for (const int64_t i : {0, 40'000}) {
    const auto scores = at::matmul(x[0][0], x[0][0][i]).to(at::kDouble) / 4;
    const auto expected = at::matmul(at::softmax(scores, 0), x[0][0].to(at::kDouble));
    EXPECT_LE(relative_error(y[0][0][i], expected), 1e-4);
  }
}

// Causal windows of w tokens and the query's own, L layers deep: the first token that matters lies exactly L·w before.
TEST(Claim, StackedWindowsReachAsFarAsTheirSum) {
  constexpr int64_t N = 64, w = 5;
  const SparseLayout layout(sliding_pattern(N, w) & causal_pattern(N), 8);
  for (const int64_t L : {1, 2, 4, 8}) {
    at::manual_seed(1);
    const auto x = at::randn({1, 1, N, 8}, at::kDouble).requires_grad_(true);
    auto y = x;
    for (int64_t layer = 0; layer < L; ++layer) y = sparse_attention(y, y, y, layout);
    y[0][0][60].sum().backward();
    const auto reached = x.grad()[0][0].abs().sum(1).ne(0);
    const int64_t first = reached.to(at::kLong).argmax().item<int64_t>();
    figure("{} layers of windows of {}: reach {}", L, w, 60 - first);
    EXPECT_EQ(60 - first, L * w);
    EXPECT_TRUE(reached.narrow(0, first, 61 - first).all().item<bool>());
    EXPECT_FALSE(reached.narrow(0, 61, N - 61).any().item<bool>());
  }
}

// Bytes of the weights of a block of ViT-B/16, and how far its answer is from float32's.
TEST(Claim, HalfAndInt8WeightsTakeAHalfAndAQuarter) {
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  PreNormBlock block({.dim = 768, .heads = 12});
  block->eval();
  const auto x = at::randn({1, 197, 768});
  const auto exact = block->forward(x);
  const auto bytes = [](const torch::nn::Module& module) {
    int64_t sum = 0;
    for (const auto& tensor : module.parameters()) sum += static_cast<int64_t>(tensor.nbytes());
    for (const auto& tensor : module.buffers()) sum += static_cast<int64_t>(tensor.nbytes());
    return static_cast<double>(sum);
  };
  const double full = bytes(*block);
  auto half = std::dynamic_pointer_cast<PreNormBlockImpl>(block->clone());
  half->to(at::kHalf);
  const double of_half = bytes(*half), half_error = relative_error(half->forward(x.to(at::kHalf)), exact);
  quantise_weights(*block);
  const double of_int8 = bytes(*block), int8_error = relative_error(block->forward(x), exact);
  figure("a block of ViT-B: {:.2f} MB float32, {:.2f} MB float16 (answer off by {:.1e}), {:.2f} MB int8 ({:.1e})",
         full / 1e6, of_half / 1e6, half_error, of_int8 / 1e6, int8_error);
  EXPECT_EQ(of_half, full / 2);
  EXPECT_LE(of_int8, 0.254 * full);
  EXPECT_LE(half_error, 2e-3);
  EXPECT_LE(int8_error, 2e-2);
}

}  // namespace
}  // namespace fovea::testing
