// Weights of 8 bits: how far off, how small.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/patch/block.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

int64_t bytes_of(const torch::nn::Module& module) {
  int64_t sum = 0;
  for (const auto& tensor : module.parameters()) sum += static_cast<int64_t>(tensor.nbytes());
  for (const auto& tensor : module.buffers()) sum += static_cast<int64_t>(tensor.nbytes());
  return sum;
}

// Each output may be off by half a step for each |x|.
TEST(Int8Weights, AreWithinHalfAStepOfTheOriginal) {
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  for (const auto& [in, out] : {std::pair(48, 40), {1, 1}, {7, 33}, {129, 3}}) {
    for (const bool with_bias : {true, false}) {
      Linear linear({.in_features = in, .out_features = out, .bias = with_bias});
      linear->weight[0].zero_();
      const auto x = at::randn({2, 3, in});
      const auto exact = linear->forward(x);
      const auto largest = linear->weight.abs().amax(1);
      quantise_weights(*linear);
      EXPECT_EQ(linear->weight.scalar_type(), at::kChar);
      const auto bound = x.abs().sum(-1, true) * (largest / 254) + 1e-5;
      EXPECT_TRUE((linear->forward(x) - exact).abs().le(bound).all().item<bool>()) << in << " to " << out;
      // The product is the one with the rounded weights, by loops.
      const auto rounded = linear->weight.to(at::kDouble) * linear->weight_scale.to(at::kDouble).unsqueeze(1);
      auto expected = at::matmul(x.to(at::kDouble), rounded.t());
      if (with_bias) expected = expected + linear->bias;
      EXPECT_LE(relative_error(linear->forward(x), expected), 1e-5) << in << " to " << out;
      EXPECT_LE(relative_error(linear->forward(x, Activation::relu), at::relu(expected)), 1e-5);
      quantise_weights(*linear);  // a second time changes nothing
      EXPECT_LE(relative_error(linear->forward(x), expected), 1e-5);
    }
  }
}

TEST(Int8Weights, WorkInEveryTypeAndPassGradientsToInputs) {
  at::manual_seed(2);
  Linear linear({.in_features = 32, .out_features = 16});
  quantise_weights(*linear);
  const auto x = at::randn({5, 32});
  const auto expected = linear->forward(x).detach();
  for (const auto type : {at::kDouble, at::kBFloat16, at::kHalf}) {
    const auto copy = std::dynamic_pointer_cast<LinearImpl>(linear->clone());
    copy->to(type);
    EXPECT_EQ(copy->weight.scalar_type(), at::kChar);
    const at::NoGradGuard no_grad;
    const auto y = copy->forward(x.to(type));
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_LE(relative_error(y, expected), type == at::kDouble ? 1e-5 : tolerance(at::kBFloat16));
  }
  auto leaf = x.clone().requires_grad_(true);
  linear->forward(leaf).sum().backward();
  const auto rounded = linear->weight.to(at::kFloat) * linear->weight_scale.unsqueeze(1);
  EXPECT_LE(relative_error(leaf.grad(), rounded.sum(0).expand({5, 32})), 1e-5);
  EXPECT_EQ(linear->parameters().size(), 1);  // the bias: an optimiser sees no weight
}

// The block of a ViT-B: whole, and while it runs.
TEST(Int8Weights, TakeAQuarterAlsoWhileTheyRun) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  constexpr int64_t D = 768;
  PreNormBlock block({.dim = D, .heads = 12});
  block->eval();
  const auto x = at::randn({1, 50, D});
  const auto exact = block->forward(x);
  const auto full = static_cast<double>(bytes_of(*block));
  quantise_weights(*block);
  EXPECT_LE(static_cast<double>(bytes_of(*block)), 0.254 * full);
  const AllocatedBytes counted;
  const auto y = block->forward(x);
  EXPECT_LT(counted.largest(), D * D * 4);  // no weight is made float32
  EXPECT_GT(relative_error(y, exact), 1e-6);
  EXPECT_LE(relative_error(y, exact), 2e-2);
}

}  // namespace
}  // namespace fovea::testing
