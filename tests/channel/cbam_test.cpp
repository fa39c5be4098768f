#include "fovea/modules/channel/cbam.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The spatial convolution of `weights` with a batch norm of running statistics, whose one line goes into `weights`.
SpatialScore as_spatial(Weights& weights, at::ScalarType type) {
  const auto one = [&](double value) { return at::full({1}, value, type); };
  SpatialScore spatial{.weight = weights.conv,
                       .norm_weight = one(1.5),
                       .norm_bias = one(-0.25),
                       .running_mean = one(0.5),
                       .running_var = one(4.0)};
  weights.gain = 1.5 / std::sqrt(4.0 + spatial.eps);
  weights.shift = -0.25 - 0.5 * weights.gain;
  return spatial;
}

TEST(Cbam, EqualsLoopsOnSeededShapes) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const ChannelCase c(seed);
    const auto x = c.input();
    auto weights = c.weights();
    const auto spatial = as_spatial(weights, c.type);
    Gates expected{.output = wide(x).clone()};
    CbamArgs args{.gate = c.gate};
    if (seed % 3 != 1) {
      args.mlp = as_mlp(weights);
      gate_channels(expected, weights, c.gate, /*with_maximum=*/true);
    }
    if (seed % 3 != 2) {
      args.spatial = spatial;
      gate_pixels(expected, weights, c.gate);
    }
    const auto y = cbam(x, args);
    EXPECT_EQ(y.scalar_type(), c.type);
    EXPECT_LE(relative_error(y, expected.output), 4 * tolerance(c.type)) << seed << ": " << c.name();
  }
}

TEST(Cbam, KeepsChannelsLast) {
  Cbam layer({.channels = 32});
  const auto x = at::randn({2, 32, 6, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(layer->forward(x).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Cbam, GradientsEqualCentralDifferences) {
  for (const bool training : {false, true}) {
    for (const auto& [B, C, h, w] : std::vector<std::array<int64_t, 4>>{{1, 1, 2, 1}, {2, 3, 3, 2}, {1, 4, 1, 5}}) {
      at::manual_seed(C);
      const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
      const auto error = gradient_error(
          [&](const std::vector<at::Tensor>& in) {
            const auto one = [](double value) { return at::full({1}, value, at::kDouble); };
            return cbam(in[0], {.mlp = {in[1], in[2], in[3], in[4]},
                                .spatial = {.weight = in[5],
                                            .norm_weight = in[6],
                                            .norm_bias = in[7],
                                            .running_mean = one(0.1),
                                            .running_var = one(2),
                                            .training = training}});
          },
          {draw({B, C, h, w}), draw({2, C, 1, 1}), draw({2}), draw({C, 2, 1, 1}), draw({C}), draw({1, 2, 3, 3}),
           draw({1}), draw({1})});
      EXPECT_LE(error, 1e-5) << "training " << training << " C " << C;
    }
  }
}

TEST(Cbam, EqualMaximaShareTheGradient) {
  const auto x = at::ones({1, 2, 2, 2}, at::kDouble).requires_grad_(true);
  const auto fc = at::ones({2, 2, 1, 1}, at::kDouble);
  cbam(x, {.mlp = {.fc1_weight = fc, .fc2_weight = fc}}).sum().backward();
  EXPECT_LE((x.grad() - x.grad()[0][0][0][0]).abs().max().item<double>(), 1e-15);
}

TEST(Cbam, TrainingNormalisesTheScoresOfTheBatch) {
  at::manual_seed(2);
  Cbam layer({.channels = 4, .arrangement = CbamArrangement::spatial});
  const auto& bn = *layer->spatial->conv->bn;
  const auto x = at::randn({3, 4, 5, 5});
  AttentionRecorder recorder(*layer);
  layer->forward(x);
  const auto scores = at::logit(recorder.maps().at(0).weights);
  EXPECT_NEAR(scores.mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(scores.std().item<double>(), 1, 2e-2);
  EXPECT_EQ(bn.num_batches_tracked.item<int64_t>(), 1);
  EXPECT_NE(bn.running_mean.item<double>(), 0);
  const auto seen = bn.running_mean.item<double>();
  layer->eval();
  layer->forward(x);
  EXPECT_EQ(bn.num_batches_tracked.item<int64_t>(), 1);
  EXPECT_EQ(bn.running_mean.item<double>(), seen);
}

TEST(Cbam, KeysAreTimms) {
  const auto keys = [](const CbamOptions& options) {
    std::vector<std::string> names;
    const auto layer = Cbam(options);
    for (const auto& item : layer->named_parameters()) names.push_back(item.key());
    for (const auto& item : layer->named_buffers()) names.push_back(item.key());
    return names;
  };
  const std::vector<std::string> spatial = {"spatial.conv.conv.weight",    "spatial.conv.bn.weight",
                                            "spatial.conv.bn.bias",        "spatial.conv.bn.running_mean",
                                            "spatial.conv.bn.running_var", "spatial.conv.bn.num_batches_tracked"};
  auto all = spatial;
  all.insert(all.begin(), {"channel.fc1.weight", "channel.fc2.weight"});
  EXPECT_THAT(keys({.channels = 64}), ::testing::UnorderedElementsAreArray(all));
  EXPECT_THAT(keys({.channels = 64, .arrangement = CbamArrangement::spatial}),
              ::testing::UnorderedElementsAreArray(spatial));
  EXPECT_THAT(keys({.channels = 64, .bias = true, .arrangement = CbamArrangement::channel}),
              ::testing::UnorderedElementsAre("channel.fc1.weight", "channel.fc1.bias", "channel.fc2.weight",
                                              "channel.fc2.bias"));
  EXPECT_EQ(Cbam({.channels = 64})->channel->fc1->weight.sizes(), at::IntArrayRef({4, 64, 1, 1}));
  EXPECT_EQ(Cbam({.channels = 4, .reduction = 16})->channel->fc1->weight.size(0), 1);  // never 0
}

TEST(Cbam, RefusesWhatDoesNotFit) {
  Cbam layer({.channels = 64});
  const auto forward = [&](const at::Tensor& x) { return error_of([&] { layer->forward(x); }); };
  EXPECT_THAT(forward(at::zeros({2, 32, 7, 7})),
              AllOf(StartsWith("3: cbam"), HasSubstr("[4,64,1,1]"), HasSubstr("[2,32,7,7]")));
  EXPECT_THAT(forward(at::zeros({2, 64, 7})), HasSubstr("[2,64,7]"));
  EXPECT_THAT(forward(at::zeros({2, 64, 7, 0})), HasSubstr("no pixels"));
  EXPECT_THAT(forward(at::zeros({2, 64, 7, 7}, at::kDouble)), AllOf(HasSubstr("Double"), HasSubstr("Float")));
  const auto x = at::zeros({1, 2, 4, 4});
  EXPECT_THAT(error_of([&] { cbam(x, {}); }), StartsWith("2: cbam: neither"));
  EXPECT_THAT(error_of([&] { cbam(x, {.spatial = {.weight = at::zeros({1, 2, 4, 4})}}); }), HasSubstr("[1,2,4,4]"));
  EXPECT_THAT(error_of([&] { cbam(x, {.spatial = {.weight = at::zeros({1, 2, 3, 3})}}); }), HasSubstr("batch norm"));
  EXPECT_THAT(error_of([] { Cbam({.channels = 64, .kernel = 6}); }), StartsWith("2: Cbam: kernel 6"));
  EXPECT_THAT(error_of([] { Cbam(CbamOptions{}); }), StartsWith("2: Cbam: channels 0"));
}

TEST(Cbam, ExplainsItsBackends) {
  const ChannelCase c(3);
  const CbamArgs args{.mlp = as_mlp(c.weights())};
  EXPECT_EQ(explain_cbam(c.draw({1, c.C, 2, 2}), args), "cpu: runs\ncuda: not on a GPU\nreference: could run\n");
  EXPECT_THAT(error_of([&] { cbam(c.input(), {.mlp = args.mlp, .backend = "nonesuch"}); }), HasSubstr("nonesuch"));
}

TEST(Cbam, RecordsBothGatesAndNothingChanges) {
  at::manual_seed(5);
  Cbam layer({.channels = 32, .bias = true});
  layer->eval();
  torch::nn::Sequential model(layer);
  const auto x = at::randn({2, 32, 6, 9});
  const auto plain = model->forward(x);
  {
    const AttentionRecorder quiet(*model);
    EXPECT_TRUE(at::equal(model->forward(x), plain));
  }
  AttentionRecorder recorder(*model, {.gradients = true});  // of gates: the formula runs
  const auto y = model->forward(x);
  EXPECT_LE(relative_error(y, plain), 1e-6);

  const auto& maps = recorder.maps();
  ASSERT_EQ(maps.size(), 2);
  EXPECT_EQ(maps[0].path, "0.channel");
  EXPECT_EQ(maps[0].kind, MapKind::channel);
  EXPECT_EQ(maps[1].path, "0.spatial");
  EXPECT_EQ(maps[1].kind, MapKind::spatial);
  EXPECT_EQ(maps[1].grid.height, 6);
  EXPECT_EQ(maps[1].grid.width, 9);
  const auto& channel = *layer->channel;
  const Weights weights{.fc1 = channel.fc1->weight,
                        .b1 = channel.fc1->bias,
                        .fc2 = channel.fc2->weight,
                        .b2 = channel.fc2->bias,
                        .conv = layer->spatial->conv->conv->weight,
                        .gain = 1 / std::sqrt(1 + 1e-5)};
  Gates expected{.output = wide(x).clone()};
  gate_channels(expected, weights, Gate::sigmoid, /*with_maximum=*/true);
  EXPECT_LE(relative_error(maps[0].weights, expected.channel), 1e-5);
  const auto gated_channels = expected.output.clone();
  gate_pixels(expected, weights, Gate::sigmoid);
  EXPECT_LE(relative_error(maps[1].weights, expected.spatial), 1e-5);

  const auto loss_gradient = at::randn_like(y);
  y.backward(loss_gradient);
  EXPECT_LE(relative_error(maps[1].gradient, (loss_gradient * gated_channels).sum(1, true)), 1e-5);
  EXPECT_EQ(maps[0].gradient.sizes(), at::IntArrayRef({2, 32}));
}

TEST(Cbam, OnlyTheMapsAskedForAreRecorded) {
  Cbam layer({.channels = 8});
  AttentionRecorder recorder(*layer, {.layers = "spatial"});
  layer->forward(at::randn({1, 8, 3, 3}));
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_EQ(recorder.maps()[0].path, "spatial");
}

TEST(Cbam, ClonesAndMoves) {
  for (const auto arrangement :
       {CbamArrangement::channel_then_spatial, CbamArrangement::channel, CbamArrangement::spatial}) {
    Cbam layer({.channels = 8, .arrangement = arrangement});
    layer->eval();
    const auto x = at::randn({16, 8, 4, 4});  // some of them wake the one hidden unit
    const auto copy = std::dynamic_pointer_cast<CbamImpl>(layer->clone());
    EXPECT_TRUE(at::equal(copy->forward(x), layer->forward(x)));
    {
      at::NoGradGuard no_grad;
      for (auto& parameter : copy->parameters()) parameter.zero_();
    }
    EXPECT_FALSE(at::equal(copy->forward(x), layer->forward(x)));
    layer->to(at::kBFloat16);
    EXPECT_EQ(layer->forward(x.to(at::kBFloat16)).scalar_type(), at::kBFloat16);
    if (layer->spatial) {
      EXPECT_EQ(layer->spatial->conv->bn->num_batches_tracked.scalar_type(), at::kLong);
    }
  }
}

}  // namespace
}  // namespace fovea::testing
