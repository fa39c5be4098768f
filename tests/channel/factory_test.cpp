#include "fovea/modules/channel/factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/module.h"
#include "fovea/tests/channel/oracle.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ChannelAttentionFactory, EveryNameGivesALayerThatKeepsTheShape) {
  EXPECT_THAT(channel_attention_names(), ::testing::ElementsAre("se", "cbam", "cbam_channel", "cbam_spatial"));
  for (const auto& name : channel_attention_names()) {
    auto layer = make_channel_attention(name, {.channels = 32});
    const auto x = at::randn({2, 32, 5, 4});
    const at::Tensor y = layer.forward(x);
    EXPECT_EQ(y.sizes(), x.sizes()) << name;
    EXPECT_FALSE(at::equal(x, y)) << name;
    EXPECT_GT(layer.ptr()->parameters().size(), 0) << name;
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
              AllOf(StartsWith("2: "), HasSubstr("\"sse\""), HasSubstr("se, cbam, cbam_channel, cbam_spatial")));
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
