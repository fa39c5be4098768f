#include "fovea/modules/channel/squeeze_excite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Gates oracle(const at::Tensor& x, const Weights& weights, Gate gate) {
  Gates gates{.output = wide(x).clone()};
  gate_channels(gates, weights, gate, /*with_maximum=*/false);
  return gates;
}

TEST(SqueezeExcite, EqualsLoopsOnSeededShapes) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const ChannelCase c(seed);
    const auto x = c.input();
    const auto weights = c.weights();
    const auto y = squeeze_excite(x, {.mlp = as_mlp(weights), .gate = c.gate});
    EXPECT_EQ(y.scalar_type(), c.type);
    EXPECT_LE(relative_error(y, oracle(x, weights, c.gate).output), tolerance(c.type)) << seed << ": " << c.name();
  }
}

// Without a graph the layers of a gate are products of few rows; autograd may still follow any one of their tensors.
TEST(SqueezeMlp, IsFollowedFromEachOfItsTensors) {
  at::manual_seed(2);
  const auto x = at::randn({2, 24});
  const SqueezeMlp mlp{at::randn({3, 24}), at::rand({3}), at::randn({24, 3, 1, 1}), at::randn({24})};
  const auto expected =
      at::linear(at::relu(at::linear(x, mlp.fc1_weight, mlp.fc1_bias)), mlp.fc2_weight.flatten(1), mlp.fc2_bias);
  EXPECT_LE(relative_error(mlp(x), expected), tolerance(at::kFloat));
  for (const at::Tensor& one : {x, mlp.fc1_weight, mlp.fc1_bias, mlp.fc2_weight, mlp.fc2_bias}) {
    at::Tensor followed = one;
    followed.requires_grad_(true);
    EXPECT_TRUE(mlp(x).requires_grad()) << followed.sizes();
    followed.requires_grad_(false);
  }
  EXPECT_ERROR((SqueezeMlp{mlp.fc1_weight, at::rand({3}, at::kDouble), mlp.fc2_weight}(x)), ErrorKind::data,
               "linear: expected a bias Float of 3 values, got Double [3]");
}

TEST(SqueezeExcite, TakesMatricesAndKeepsChannelsLast) {
  at::manual_seed(1);
  const auto x = at::randn({2, 24, 5, 6}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto fc1 = at::randn({3, 24}), fc2 = at::randn({24, 3});
  const auto y = squeeze_excite(x, {.mlp = {.fc1_weight = fc1, .fc2_weight = fc2}});
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto as_convolutions =
      squeeze_excite(x, {.mlp = {.fc1_weight = fc1.view({3, 24, 1, 1}), .fc2_weight = fc2.view({24, 3, 1, 1})}});
  EXPECT_TRUE(at::equal(y, as_convolutions));
}

TEST(SqueezeExcite, GradientsEqualCentralDifferences) {
  for (const auto& [B, C, h, w] : std::vector<std::array<int64_t, 4>>{{1, 1, 1, 1}, {2, 3, 3, 2}, {1, 5, 1, 4}}) {
    at::manual_seed(C);
    const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
    const auto error = gradient_error(
        [](const std::vector<at::Tensor>& in) {
          return squeeze_excite(in[0], {.mlp = {in[1], in[2], in[3], in[4]}});
        },
        {draw({B, C, h, w}), draw({2, C, 1, 1}), draw({2}), draw({C, 2, 1, 1}), draw({C})});
    EXPECT_LE(error, 1e-5);
  }
}

TEST(SqueezeExcite, WidthIsTimms) {
  const auto width = [](int64_t channels) { return SqueezeExcite({.channels = channels})->fc1->weight.size(0); };
  EXPECT_EQ(width(64), 8);
  EXPECT_EQ(width(96), 8);
  EXPECT_EQ(width(128), 8);
  EXPECT_EQ(width(256), 16);
  EXPECT_EQ(width(320), 24);  // 20 lies between 16 and 24: half way goes up
  EXPECT_EQ(width(2048), 128);
  EXPECT_EQ(SqueezeExcite({.channels = 96, .squeeze = 7})->fc1->weight.size(0), 7);
}

TEST(SqueezeExcite, ReductionBeyondTheChannelsLeavesAWidth) {
  SqueezeExcite se({.channels = 4, .reduction = 16});
  EXPECT_EQ(se->fc1->weight.size(0), 8);
  EXPECT_EQ(SqueezeExcite({.channels = 4, .reduction = 16, .divisor = 1})->fc1->weight.size(0), 1);
  EXPECT_EQ(se->forward(at::randn({1, 4, 2, 2})).sizes(), at::IntArrayRef({1, 4, 2, 2}));
}

TEST(SqueezeExcite, RefusesWhatDoesNotFit) {
  SqueezeExcite se({.channels = 256});
  const auto forward = [&](const at::Tensor& x) { return error_of([&] { se->forward(x); }); };
  EXPECT_THAT(forward(at::zeros({2, 128, 7, 7})), AllOf(HasSubstr("[16,256,1,1]"), HasSubstr("[2,128,7,7]")));
  EXPECT_THAT(forward(at::zeros({256, 7, 7})), AllOf(StartsWith("3: squeeze_excite"), HasSubstr("[256,7,7]")));
  EXPECT_THAT(forward(at::zeros({2, 256, 0, 7})), HasSubstr("no pixels"));
  EXPECT_THAT(forward(at::zeros({2, 256, 7, 7}, at::kLong)), HasSubstr("floating"));
  EXPECT_THAT(forward(at::zeros({2, 256, 7, 7}, at::kComplexFloat)), HasSubstr("floating"));
  EXPECT_THAT(forward(at::zeros({2, 256, 7, 7}, at::kBFloat16)), AllOf(HasSubstr("BFloat16"), HasSubstr("Float")));
  EXPECT_THAT(forward(at::zeros({2, 256, 7, 7}, at::kMeta)), AllOf(HasSubstr("meta"), HasSubstr("cpu")));
  EXPECT_THAT(forward({}), HasSubstr("undefined"));
  const auto x = at::zeros({1, 4, 2, 2});
  const auto call = [&](const SqueezeMlp& mlp) { return error_of([&] { squeeze_excite(x, {.mlp = mlp}); }); };
  EXPECT_THAT(call({}), HasSubstr("[out,in]"));
  EXPECT_THAT(call({.fc1_weight = at::zeros({2, 4}), .fc2_weight = at::zeros({4, 3})}),
              AllOf(HasSubstr("[4,3]"), HasSubstr("[2,4]")));
  EXPECT_THAT(call({at::zeros({2, 4}), at::zeros({3}), at::zeros({4, 2}), {}}),
              AllOf(HasSubstr("[3]"), HasSubstr("[2,4]")));
  EXPECT_THAT(error_of([] { SqueezeExcite(SqueezeExciteOptions{}); }), StartsWith("2: SqueezeExcite: channels 0"));
  EXPECT_THAT(error_of([] { SqueezeExcite({.channels = 8, .reduction = 0}); }), StartsWith("2: "));
}

TEST(SqueezeExcite, ExplainsItsBackends) {
  const ChannelCase c(3);
  const SqueezeExciteArgs args{.mlp = as_mlp(c.weights())};
  EXPECT_EQ(explain_squeeze_excite(c.draw({1, c.C, 2, 2}), args),
            "cpu: runs\ncuda: not on a GPU\nreference: could run\n");
  EXPECT_THAT(error_of([&] { squeeze_excite(c.input(), {.mlp = args.mlp, .backend = "nonesuch"}); }),
              AllOf(HasSubstr("nonesuch"), HasSubstr("reference")));
}

TEST(SqueezeExcite, RecordsItsGateAndNothingChanges) {
  at::manual_seed(4);
  SqueezeExcite se({.channels = 24});
  torch::nn::Sequential model(se);
  const auto x = at::randn({2, 24, 3, 5});
  const auto plain = model->forward(x);
  {
    const AttentionRecorder gates(*model);
    EXPECT_TRUE(at::equal(model->forward(x), plain));
    EXPECT_EQ(gates.maps().size(), 1);
  }
  AttentionRecorder recorder(*model, {.gradients = true});  // of gates: the formula runs
  const auto y = model->forward(x);
  EXPECT_LE(relative_error(y, plain), 1e-6);
  ASSERT_EQ(recorder.maps().size(), 1);
  const auto& map = recorder.maps()[0];
  EXPECT_EQ(map.path, "0");
  EXPECT_EQ(map.kind, MapKind::channel);
  EXPECT_FALSE(map.weights.requires_grad());
  const Weights weights{.fc1 = se->fc1->weight, .b1 = se->fc1->bias, .fc2 = se->fc2->weight, .b2 = se->fc2->bias};
  EXPECT_LE(relative_error(map.weights, oracle(x, weights, Gate::sigmoid).channel), 1e-5);
  const auto loss_gradient = at::randn_like(y);
  y.backward(loss_gradient);
  EXPECT_LE(relative_error(recorder.maps()[0].gradient, (loss_gradient * x).sum({2, 3})), 1e-5);
}

TEST(SqueezeExcite, DifferentiableMapsStayInTheGraph) {
  SqueezeExcite se({.channels = 8});
  torch::nn::Sequential model(se);
  AttentionRecorder recorder(*model, {.differentiable = true});
  model->forward(at::randn({1, 8, 2, 2}));
  recorder.maps().at(0).weights.sum().backward();
  EXPECT_GT(se->fc2->bias.grad().abs().sum().item<double>(), 0);
}

TEST(SqueezeExcite, ClonesAndMovesInsideASequential) {
  torch::nn::Sequential model(SqueezeExcite({.channels = 8}));
  const auto x = at::randn({1, 8, 4, 4});
  const auto copy = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(model->clone());
  EXPECT_TRUE(at::equal(copy->forward(x), model->forward(x)));
  {
    at::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  EXPECT_TRUE(at::equal(copy->forward(x), x * 0.5));  // sigmoid(0)
  EXPECT_FALSE(at::equal(model->forward(x), x * 0.5));
  model->to(at::kDouble);
  EXPECT_EQ(model->forward(x.to(at::kDouble)).scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace fovea::testing
