#include "fovea/modules/channel/factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/module.h"
#include "fovea/modules/modules.h"
#include "fovea/tests/channel/oracle.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ChannelAttentionFactory, EveryNameGivesALayerThatKeepsTheShape) {
  for (const auto& name : channel_attention_names()) {
    auto layer = make_channel_attention(name, {.channels = 32});
    const auto x = at::randn({2, 32, 5, 4});
    const at::Tensor y = layer.forward(x);
    EXPECT_EQ(y.sizes(), x.sizes()) << name;
    EXPECT_EQ(at::equal(x, y), name == "nl") << name;  // a new non-local block starts closed
    EXPECT_EQ(layer.ptr()->parameters().empty(), name == "simam") << name;
  }
}

// One layer of another width, made to see what it says of x.
std::string refusal(const std::string& name, const at::Tensor& x) {
  auto layer = make_channel_attention(name, {.channels = 32});
  return error_of([&] { layer.forward(x); });
}

TEST(ChannelAttentionFactory, EveryNameRefusesWhatDoesNotFit) {
  for (const auto& name : channel_attention_names()) {
    EXPECT_THAT(refusal(name, at::zeros({32, 5, 4})), AllOf(StartsWith("3: "), HasSubstr("[32,5,4]"))) << name;
    EXPECT_THAT(refusal(name, at::zeros({2, 32, 0, 4})), HasSubstr("no pixels")) << name;
    EXPECT_THAT(refusal(name, at::zeros({2, 32, 5, 4}, at::kLong)), HasSubstr("floating")) << name;
    EXPECT_THAT(refusal(name, at::Tensor()), StartsWith("3: ")) << name;
    if (name == "simam") continue;  // without parameters any type will do
    EXPECT_THAT(refusal(name, at::zeros({2, 32, 5, 4}, at::kDouble)), AllOf(HasSubstr("Double"), HasSubstr("Float")))
        << name;
    if (name == "triplet" || name == "cbam_spatial") continue;  // any number of channels
    EXPECT_THAT(refusal(name, at::zeros({2, 31, 5, 4})), AllOf(StartsWith("3: "), HasSubstr("[2,31,5,4]"))) << name;
  }
}

TEST(ChannelAttentionFactory, EveryNameRefusesWidthsThatCannotBe) {
  for (const auto& name : channel_attention_names()) {
    if (name == "simam" || name == "triplet") continue;
    EXPECT_THAT(error_of([&] { make_channel_attention(name, {.channels = 0}); }), StartsWith("2: ")) << name;
  }
  EXPECT_THAT(error_of([] { Eca({.channels = 8, .kernel = 4}); }), HasSubstr("kernel 4"));
  EXPECT_THAT(error_of([] { Eca({.channels = 1, .kernel = 5, .circular = true}); }), HasSubstr("more than once"));
  EXPECT_THAT(error_of([] { GatherExcite({.channels = 8, .extent = 3}); }), HasSubstr("extent 3"));
  EXPECT_THAT(error_of([] { GatherExcite({.channels = 8, .learned = true}); }), HasSubstr("0x0"));
  EXPECT_THAT(error_of([] { GlobalContext({.channels = 8, .scale = false}); }), HasSubstr("neither"));
  EXPECT_THAT(error_of([] { StripAttention({.channels = 8, .kernel = 2}); }), HasSubstr("kernel 2"));
  EXPECT_THAT(error_of([] { Simam({.lambda = 0}); }), StartsWith("2: Simam"));
  EXPECT_THAT(error_of([] { TripletAttention({.kernel = 6}); }), HasSubstr("kernel 6"));
  EXPECT_THAT(error_of([] { SelectiveKernel({.channels = 9}); }), HasSubstr("2 paths"));
  EXPECT_THAT(error_of([] { SelectiveKernel({.channels = 8, .kernels = {3, 4}}); }), HasSubstr("kernel 4"));
  EXPECT_THAT(error_of([] { SplitAttention({.channels = 9}); }), HasSubstr("radix 2"));
  EXPECT_THAT(error_of([] { HaloAttention({.channels = 10}); }), HasSubstr("heads 8"));
  EXPECT_THAT(error_of([] { BottleneckAttention({.channels = 8}); }), HasSubstr("height 0"));
  EXPECT_THAT(error_of([] { LambdaLayer({.channels = 10}); }), HasSubstr("heads 4"));
  EXPECT_THAT(error_of([] { LambdaLayer({.channels = 8, .reach = 4}); }), HasSubstr("reach 4"));
  EXPECT_THAT(error_of([] { BilinearAttention({.channels = 8, .groups = 3}); }), HasSubstr("groups 3"));
  EXPECT_THAT(error_of([] { BottleneckAttention({.channels = 8, .height = 4, .width = 4, .stride = 3}); }),
              HasSubstr("stride 3"));
}

// A depthwise kernel as large as the map, by loops, then the mlp by matrices.
TEST(GatherExcite, GathersTheWholeMapByLearnedWeights) {
  at::manual_seed(1);
  GatherExcite layer({.channels = 16, .learned = true, .height = 3, .width = 5, .mlp = false});
  layer->eval();
  layer->to(at::kDouble);
  const auto x = at::randn({2, 16, 3, 5}, at::kDouble);
  const auto weight = layer->gather->steps[0].conv->weight;
  auto expected = at::empty_like(x);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t c = 0; c < 16; ++c) {
      double sum = 0;
      for (int64_t i = 0; i < 15; ++i)
        sum += x[b][c].flatten()[i].item<double>() * weight[c].flatten()[i].item<double>();
      expected[b][c] = x[b][c] / (1 + std::exp(-sum / std::sqrt(1 + 1e-5)));
    }
  }
  EXPECT_LE(relative_error(layer->forward(x), expected), 1e-12);
  EXPECT_LE(module_gradient_error(*layer, x), 1e-6);
  EXPECT_THAT(error_of([&] { layer->forward(at::zeros({2, 16, 5, 3}, at::kDouble)); }), HasSubstr("3x5"));
  layer->train();
  EXPECT_THAT(error_of([&] { layer->forward(x.narrow(0, 0, 1)); }), HasSubstr("batch of one"));
}

TEST(ChannelAttentionFactory, EveryNameClonesItsOwnParameters) {
  for (const auto& name : channel_attention_names()) {
    auto layer = make_channel_attention(name, {.channels = 16});
    layer.ptr()->eval();
    const auto x = at::randn({2, 16, 5, 4});
    const at::Tensor y = layer.forward(x);
    torch::nn::AnyModule copy = layer.clone();
    for (auto& parameter : copy.ptr()->parameters()) parameter.detach().fill_(0.1);
    EXPECT_TRUE(at::equal(layer.forward(x), y)) << name;
    EXPECT_EQ(at::equal(copy.forward(x), y), name == "simam") << name;
  }
}

TEST(ChannelAttentionFactory, PassesTheOptionsOn) {
  const auto se = make_channel_attention("se", {.channels = 256, .reduction = 8}).get<SqueezeExcite>();
  EXPECT_EQ(se->fc1->weight.size(0), 32);
  const auto cbam = make_channel_attention("cbam", {.channels = 256, .reduction = 8}).get<Cbam>();
  EXPECT_EQ(cbam->channel->fc1->weight.size(0), 32);
}

TEST(ChannelAttentionFactory, AnUnknownNameListsTheKnownOnes) {
  EXPECT_THAT(error_of([] { make_channel_attention("sse", {.channels = 8}); }),
              AllOf(StartsWith("2: "), HasSubstr("\"sse\""), HasSubstr("se, ese, eca")));
}

struct BlockOptions {
  std::string slot;
};

// A user's own block with a slot.
class BlockImpl : public Module<BlockImpl> {
 public:
  explicit BlockImpl(const BlockOptions& options) : options(options) { reset(); }
  void reset() override {
    se = make_channel_attention(options.slot, {.channels = 8});
    register_module("se", se.ptr());
  }
  at::Tensor forward(const at::Tensor& x) { return se.forward(x); }

  BlockOptions options;
  torch::nn::AnyModule se;
};
FOVEA_MODULE(Block);

TEST(ChannelAttentionFactory, ASlotIsNamedRecordedAndCloned) {
  Block block({.slot = "cbam"});
  block->eval();
  EXPECT_TRUE(block->named_parameters().contains("se.channel.fc1.weight"));
  const auto x = at::randn({1, 8, 3, 3});
  AttentionRecorder recorder(*block);
  const auto y = block->forward(x);
  ASSERT_EQ(recorder.maps().size(), 2);
  EXPECT_EQ(recorder.maps()[1].path, "se.spatial");

  auto copy = std::dynamic_pointer_cast<BlockImpl>(block->clone());
  {
    at::NoGradGuard no_grad;
    for (auto& parameter : block->parameters()) parameter.zero_();
  }
  EXPECT_TRUE(at::equal(copy->forward(x), y));  // its slot is its own
}

}  // namespace
}  // namespace fovea::testing
