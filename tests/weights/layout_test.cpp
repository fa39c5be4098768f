#include "fovea/modules/weights/layout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

StateDict of_keys(const std::vector<std::string>& keys) {
  StateDict state;
  for (const std::string& key : keys) state.add(key, at::zeros({1}));
  return state;
}

std::vector<std::string> keys_of(const StateDict& state) {
  std::vector<std::string> keys;
  for (const NamedTensor& named : state) keys.push_back(named.name);
  return keys;
}

TEST(Layout, TimmStaysAsItIs) {
  const MappedState mapped = apply_layout(of_keys({"blocks.0.attn.qkv.weight", "head.fc.weight", "weird"}));
  EXPECT_EQ(mapped.layout->name, "timm");
  EXPECT_EQ(mapped.prefix, "");
  EXPECT_THAT(keys_of(mapped.weights), ElementsAre("blocks.0.attn.qkv.weight", "head.fc.weight", "weird"));
  EXPECT_THAT(mapped.dropped, IsEmpty());
}

TEST(Layout, OldSwinShiftsMergingAndDropsTables) {
  const MappedState mapped = apply_layout(
      of_keys({"layers.0.downsample.reduction.weight", "layers.10.downsample.norm.bias", "layers.0.blocks.1.attn_mask",
               "head.weight", "norm.weight", "layers.0.blocks.0.attn.relative_position_index"}));
  EXPECT_EQ(mapped.layout->name, "swin-original");
  EXPECT_THAT(keys_of(mapped.weights), ElementsAre("layers.1.downsample.reduction.weight",
                                                   "layers.11.downsample.norm.bias", "head.fc.weight", "norm.weight"));
  EXPECT_THAT(mapped.dropped,
              ElementsAre("layers.0.blocks.1.attn_mask", "layers.0.blocks.0.attn.relative_position_index"));
}

TEST(Layout, WrappersPrefixesComeOffTogether) {
  EXPECT_EQ(apply_layout(of_keys({"module.a", "module.b"})).prefix, "module.");
  const MappedState both =
      apply_layout(of_keys({"_orig_mod.module.layers.0.downsample.norm.weight", "_orig_mod.module.norm.bias"}));
  EXPECT_EQ(both.prefix, "_orig_mod.module.");
  EXPECT_EQ(both.layout->name, "swin-original");
  EXPECT_THAT(keys_of(both.weights), ElementsAre("layers.1.downsample.norm.weight", "norm.bias"));
  // Not every key has it, so it is no wrapper's.
  EXPECT_THAT(keys_of(apply_layout(of_keys({"module.a", "b"})).weights), ElementsAre("module.a", "b"));
  EXPECT_EQ(apply_layout(StateDict()).prefix, "");
}

// Whether a matrix or a 1×1 convolution is wanted there, the network knows.
TEST(Layout, LayersOfSqueezeExcitationHaveTwoNames) {
  StateDict state;
  state.add("layer1.0.se.fc1.weight", at::randn({2, 8}));
  state.add("layer1.0.se.fc2.weight", at::randn({8, 2, 1, 1}));
  state.add("layer2.0.se.fc.0.weight", at::randn({2, 8}));
  state.add("layer2.0.se.fc.2.bias", at::randn({8}));
  state.add("fc.weight", at::randn({10, 8}));
  const MappedState mapped = apply_layout(state);
  EXPECT_THAT(keys_of(mapped.weights), ElementsAre("layer1.0.se.fc1.weight", "layer1.0.se.fc2.weight",
                                                   "layer2.0.se.fc1.weight", "layer2.0.se.fc2.bias", "fc.weight"));
  EXPECT_EQ(mapped.weights.find("layer1.0.se.fc1.weight")->sizes(), (std::vector<int64_t>{2, 8}));
  EXPECT_EQ(mapped.weights.find("layer1.0.se.fc2.weight")->dim(), 4);
  EXPECT_THAT(mapped.reshaped, IsEmpty());
  // timm's names are written, and its shapes.
  const StateDict written = write_layout(mapped.weights, kLayoutTimm);
  EXPECT_THAT(keys_of(written), ElementsAreArray(keys_of(mapped.weights)));
  EXPECT_EQ(written.find("layer1.0.se.fc2.weight")->dim(), 4);
}

TEST(Layout, CanBeChosen) {
  const StateDict state = of_keys({"head.weight"});
  EXPECT_THAT(keys_of(apply_layout(state).weights), ElementsAre("head.weight"));
  EXPECT_THAT(keys_of(apply_layout(state, "swin-original").weights), ElementsAre("head.fc.weight"));
  EXPECT_ERROR(apply_layout(state, "caffe"), ErrorKind::usage,
               "unknown checkpoint layout caffe, known are cbam-original, ");
}

TEST(Layout, TwoKeysMayNotBecomeOne) {
  EXPECT_ERROR(apply_layout(of_keys({"layers.0.downsample.norm.weight", "head.weight", "head.fc.weight"})),
               ErrorKind::data, "two tensors are named head.fc.weight");
}

StateDict of_parts(const std::vector<std::string>& names) {
  StateDict state;
  for (const std::string& name : names) state.add(name, at::full({2, 3}, static_cast<double>(state.size())));
  return state;
}

TEST(Layout, QueriesKeysAndValuesAreJoinedInTheirOrder) {
  const MappedState mapped = apply_layout(of_parts({"vit.encoder.layer.0.attention.attention.value.weight",
                                                    "vit.encoder.layer.0.attention.attention.query.weight",
                                                    "vit.encoder.layer.0.attention.attention.key.weight"}));
  EXPECT_EQ(mapped.layout->name, "huggingface-vit");
  EXPECT_THAT(mapped.joined, ElementsAre("blocks.0.attn.qkv.weight"));
  const at::Tensor expected = at::cat({at::full({2, 3}, 1.), at::full({2, 3}, 2.), at::full({2, 3}, 0.)});
  EXPECT_TRUE(mapped.weights.find("blocks.0.attn.qkv.weight")->equal(expected));
}

TEST(Layout, PartsMustBeThereAndAlike) {
  EXPECT_ERROR(apply_layout(of_parts({"vit.encoder.layer.0.attention.attention.query.weight"})), ErrorKind::data,
               "blocks.0.attn.qkv.weight: 2 of its 3 parts are missing");
  StateDict unlike = of_parts({"layers.0.attention.q_proj.weight", "layers.0.attention.k_proj.weight"});
  unlike.add("layers.0.attention.v_proj.weight", at::zeros({2, 4}));
  EXPECT_ERROR(apply_layout(unlike), ErrorKind::data, "blocks.0.attn.qkv.weight: its parts differ in shape or type");
  EXPECT_ERROR(apply_layout(of_parts({"layers.0.attention.q_proj.weight", "vit.layers.0.attention.q_proj.weight"})),
               ErrorKind::data, "two tensors are part 0 of blocks.0.attn.qkv.weight");
}

TEST(Layout, NumbersThatDoNotDivideDoNotMatch) {
  const std::vector<std::string> keys = {"features.1.0.attn.qkv.weight", "features.3.1.norm1.bias",
                                         "features.2.norm.weight", "features.0.1.strange", "features.3.norm.strange"};
  EXPECT_THAT(keys_of(apply_layout(of_keys(keys)).weights),
              ElementsAre("layers.0.blocks.0.attn.qkv.weight", "layers.1.blocks.1.norm1.bias",
                          "layers.1.downsample.norm.weight", "features.0.1.strange", "features.3.norm.strange"));
}

// What a row reads it writes, but for rows that drop and for second names of the same tensor.
TEST(Layout, RowsReadBackWhatTheyWrite) {
  for (const Layout* layout : layouts()) {
    StateDict ours;
    for (const LayoutRow& row : layout->rows) {
      std::string key(row.ours);
      for (size_t at = 0; (at = key.find_first_of("#*")) != std::string::npos;) {
        key.replace(at, 1, key[at] == '#' ? "3" : key.starts_with('*') ? "stage." : "weight");
      }
      // A gated MLP stands in the place of a plain one.
      if (key.empty() || ours.find(key) != nullptr || key.find(".gated.") != std::string::npos) continue;
      ours.add(key, at::randn({6, 2, 1, 1}));
    }
    const MappedState back = apply_layout(write_layout(ours, *layout), layout->name);
    const StateDict expected = layout->network == nullptr ? ours : layout->network->read(ours);
    EXPECT_EQ(back.weights.size(), expected.size()) << layout->name;
    EXPECT_THAT(back.dropped, IsEmpty());
    for (const NamedTensor& named : expected) {
      const at::Tensor* found = back.weights.find(named.name);
      ASSERT_NE(found, nullptr) << layout->name << ": " << named.name;
      EXPECT_TRUE(found->equal(named.tensor)) << layout->name << ": " << named.name;
    }
  }
}

TEST(Layout, TensorsWithoutANameAreNotDropped) {
  EXPECT_THAT(keys_of(apply_layout(of_keys({""})).weights), ElementsAre(""));
}

}  // namespace
}  // namespace fovea
