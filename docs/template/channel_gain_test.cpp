// A gain for each channel against plain loops in fp64.
#include "fovea/docs/template/channel_gain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/channel/factory.h"
#include "fovea/tests/support/error_of.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The oracle: the formula, pixel by pixel, without a line of the library.
at::Tensor oracle(const at::Tensor& x, const at::Tensor& weight) {
  auto y = at::empty_like(x);
  for (int64_t b = 0; b < x.size(0); ++b) {
    for (int64_t c = 0; c < x.size(1); ++c) y[b][c] = x[b][c] / (1 + std::exp(-weight[c].item<double>()));
  }
  return y;
}

TEST(ChannelGain, IsItsFormulaWithGradients) {
  at::manual_seed(1);
  ChannelGain gain({.channels = 3});
  gain->to(at::kDouble);
  gain->weight.detach().normal_();
  const auto x = at::randn({2, 3, 4, 5}, at::kDouble);
  EXPECT_LE(relative_error(gain->forward(x), oracle(x, gain->weight)), tolerance(at::kDouble));
  EXPECT_LE(module_gradient_error(*gain, x), 1e-5);
}

TEST(ChannelGain, RecordsItsGate) {
  ChannelGain gain({.channels = 3, .initial = 0});
  AttentionRecorder recorder(*gain);
  gain->forward(at::ones({2, 3, 4, 5}));
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_TRUE(at::equal(recorder.maps()[0].weights, at::full({2, 3}, 0.5)));
}

TEST(ChannelGain, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { ChannelGain({.channels = 0}); }), AllOf(StartsWith("2: "), HasSubstr("channels 0")));
  ChannelGain gain({.channels = 3});
  EXPECT_THAT(error_of([&] {
                gain->forward(at::zeros({2, 4, 5, 5}));
              }),
              AllOf(StartsWith("3: "), HasSubstr("[2,4,5,5]")));
}

// The row that would stand in modules/channel/factory.cpp.
struct Row {
  const char* name;
  torch::nn::AnyModule (*make)(const ChannelAttentionOptions&);
};
constexpr Row row = {"gain", [](const ChannelAttentionOptions& o) {
                       return torch::nn::AnyModule(ChannelGain({.channels = o.channels}));
                     }};

TEST(ChannelGain, ItsRowMakesIt) {
  auto layer = row.make({.channels = 3});
  EXPECT_EQ(layer.forward(at::ones({1, 3, 2, 2})).sizes(), at::IntArrayRef({1, 3, 2, 2}));
}

}  // namespace
}  // namespace fovea::testing
