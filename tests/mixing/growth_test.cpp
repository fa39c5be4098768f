// What sets each mixer apart from attention, and what passes over long sequences cost in bytes and multiply-adds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/decode.h"
#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/mixing/attention_free.h"
#include "fovea/modules/mixing/fourier_mixing.h"
#include "fovea/modules/mixing/mamba.h"
#include "fovea/modules/mixing/mixture_of_experts.h"
#include "fovea/modules/mixing/s4.h"
#include "fovea/modules/mixing/temporal_conv.h"
#include "fovea/tests/sparse/growth.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Gt;
using ::testing::Lt;

// How much the recorded map of a layer changes with the tokens: max |difference| of two drawn inputs.
template <typename Layer>
double map_change(Layer layer) {
  const at::NoGradGuard no_grad;
  layer->eval();
  AttentionRecorder recorder(*layer, {.layers = ""});
  layer->forward(at::randn({1, 9, 8}));
  layer->forward(at::randn({1, 9, 8}));
  return (recorder.maps().at(0).weights - recorder.maps().at(1).weights).abs().max().template item<double>();
}

// Attention looks at the tokens to decide who reads whom; so do Mamba and AFT, by keys alone. S4 and a convolution read
// the same places whatever stands there.
TEST(Mixers, WhatIsReadDependsOnTheTokensOrNot) {
  at::manual_seed(51);
  EXPECT_GT(map_change(MultiHeadAttention({.d_model = 8, .heads = 2})), 1e-3);
  EXPECT_GT(map_change(AttentionFree({.dim = 8})), 1e-3);
  Mamba mamba({.width = 8, .state = 4});
  mamba->dt_proj->weight.detach().normal_(0, 2);
  EXPECT_GT(map_change(mamba), 1e-3);
  EXPECT_LE(map_change(S4({.width = 8, .state = 4})), 1e-7);
  EXPECT_LE(map_change(CausalConv1d({.in_channels = 8, .out_channels = 8, .kernel = 3})), 1e-7);
}

// Sums go through a Fourier transform, which attention's softmax does not let them; and it knows the order of tokens,
// which attention without places does not.
TEST(Mixers, FourierIsLinearAndKnowsTheOrder) {
  at::manual_seed(52);
  const auto x = at::randn({1, 7, 4}, kWide), y = at::randn({1, 7, 4}, kWide);
  EXPECT_LE(relative_error(fourier_mixing(x + y), fourier_mixing(x) + fourier_mixing(y)), 1e-12);
  MultiHeadAttention attention({.d_model = 4, .heads = 2, .bias = false});
  attention->to(at::kDouble);
  EXPECT_GT(relative_error(attention->forward(x + y), attention->forward(x) + attention->forward(y)), 1e-2);
  const auto order = at::tensor({3, 0, 6, 1, 5, 2, 4}, at::kLong);
  const auto permuted = x.index_select(1, order);
  EXPECT_LE(relative_error(attention->forward(permuted), attention->forward(x).index_select(1, order)), 1e-12);
  EXPECT_GT(relative_error(fourier_mixing(permuted), fourier_mixing(x).index_select(1, order)), 1e-2);
}

// Experts never mix tokens: what one becomes depends on itself alone.
TEST(Mixers, ExpertsTreatEachTokenAlone) {
  at::manual_seed(53);
  MixtureOfExperts layer({.features = 4, .hidden = 6, .experts = 3});
  auto x = at::randn({1, 6, 4});
  const auto before = layer->forward(x).output;
  x[0][5] = at::randn({4}) * 3;
  const auto after = layer->forward(x).output;
  EXPECT_LE(relative_error(after.narrow(1, 0, 5), before.narrow(1, 0, 5)), 1e-6);
  EXPECT_GT((after - before).select(1, 5).abs().max().item<double>(), 1e-4);
}

// One more token costs a state space the same after 10 tokens and after 1,000; attention reads all that went before.
TEST(Mixers, AStepOfAStateSpaceDoesNotGrow) {
  const at::NoGradGuard no_grad;
  at::manual_seed(54);
  S4 s4({.width = 4, .state = 8});
  Mamba mamba({.width = 4, .state = 2});
  auto s4_state = s4->start(1);
  auto mamba_state = mamba->start(1);
  KeyValueCache cache;
  std::vector<int64_t> s4_bytes, mamba_bytes, multiplied;
  for (const int64_t before : {10, 990}) {
    for (int64_t t = 0; t < before; ++t) s4->step(at::randn({1, 4}), s4_state);
    mamba->forward(at::randn({1, before, 4}), mamba_state);
    const auto tokens = at::randn({1, 1, before, 4});
    cache.append(tokens, tokens);
    const auto u = at::randn({1, 4}), x = at::randn({1, 1, 4}), q = at::randn({1, 1, 1, 4});
    {
      const AllocatedBytes counted;
      s4->step(u, s4_state);
      s4_bytes.push_back(counted.total());
    }
    {
      const AllocatedBytes counted;
      mamba->forward(x, mamba_state);
      mamba_bytes.push_back(counted.total());
    }
    const MultiplyAdds counted;
    decode_attention(q, cache, {.backend = "reference"});
    multiplied.push_back(counted.count());
  }
  EXPECT_EQ(s4_bytes[0], s4_bytes[1]);
  EXPECT_EQ(mamba_bytes[0], mamba_bytes[1]);
  EXPECT_EQ(multiplied, (std::vector<int64_t>{2 * 10 * 4, 2 * 1000 * 4}));
}

TEST(Mixers, MultiplyAddsAreTheFormulas) {
  const at::NoGradGuard no_grad;
  for (const int64_t N : {256, 1024}) {  // AFT-full alone is quadratic, in each of the two sums
    AttentionFree full({.dim = 8, .hidden = 4, .tokens = N});
    const MultiplyAdds counted;
    full->forward(at::zeros({1, N, 8}));
    EXPECT_EQ(counted.count(), 2 * N * N * 4 + 4 * N * 8 * 4);
  }
  TemporalConv convolutions({.in_channels = 4, .channels = {4, 4}, .kernel = 3});
  for (const int64_t N : {256, 1024, 4096, 16384}) {  // 2LNkD²
    const MultiplyAdds counted;
    convolutions->forward(at::zeros({1, N, 4}));
    EXPECT_EQ(counted.count(), 2 * 2 * N * 3 * 4 * 4);
  }
}

// Bytes of all tensors of a forward and a backward pass, from N to 4N.
TEST(Mixers, MemoryOfForwardAndBackwardIsLinear) {
  at::manual_seed(55);
  const auto linear = AllOf(Gt(3.4), Lt(4.5));
  const auto growth = [](auto layer) {
    return growth_of_bytes([&](int64_t N) {
      const auto x = at::rand({1, N, 4}).requires_grad_(true);
      layer->forward(x).sum().backward();
    });
  };
  EXPECT_THAT(growth(AttentionFree({.dim = 4})), Each(linear));
  EXPECT_THAT(growth(AttentionFree({.dim = 4, .causal = true})), Each(linear));
  EXPECT_THAT(growth(S4({.width = 4, .state = 4})), Each(linear));
  EXPECT_THAT(growth(Mamba({.width = 4, .state = 2})), Each(linear));
  // LibTorch convolves long sequences in another way, which holds twice the bytes.
  EXPECT_THAT(growth(TemporalConv({.in_channels = 4, .channels = {4, 4}})), Each(Lt(8)));
  MixtureOfExperts experts({.features = 4, .hidden = 8, .experts = 3});
  EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                experts->forward(at::rand({1, N, 4}).requires_grad_(true)).output.sum().backward();
              }),
              Each(linear));
  EXPECT_THAT(growth_of_bytes([](int64_t N) {
                fourier_mixing(at::rand({1, N, 4}).requires_grad_(true)).sum().backward();
              }),
              Each(linear));
}

}  // namespace
}  // namespace fovea::testing
