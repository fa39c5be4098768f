#include "fovea/modules/attention/audit.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include "fovea/modules/attention/masks.h"
#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/tests/support/expect_error.h"

namespace fovea::testing {
namespace {

constexpr int64_t kTokens = 13, kDim = 24;

enum class Fault { none, no_mask, one_ahead, mean_of_all, conv_ahead, weak, last_alone };

// Two layers of attention and feed-forward over tokens of numbers, with a fault in the second where asked for.
struct Layer : torch::nn::Module {
  explicit Layer(Fault kind) : fault(kind) {
    norm = register_module("norm", LayerNorm({.features = kDim}));
    attn = register_module("attn", MultiHeadAttention({.d_model = kDim, .heads = 4}));
    fc = register_module("fc", Linear({.in_features = kDim, .out_features = kDim}));
    conv = register_parameter("conv", 0.3 * at::randn({kDim, kDim, 3}));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& lengths) {
    const int64_t n = x.size(1);
    AttentionArgs args{.key_lengths = lengths};
    const auto places = at::arange(n, at::kLong);
    if (fault == Fault::one_ahead) {
      args.mask = (places.unsqueeze(0) - places.unsqueeze(1)).le(1);
    } else if (fault == Fault::weak) {
      args.bias = at::zeros({n, n}).masked_fill(~causal_mask(n, n, CausalAlign::last, at::kCPU), -4.0);
    } else {
      args.causal = fault != Fault::no_mask;
    }
    auto h = norm->forward(x);
    h = x + attn->forward(h, args);
    if (fault == Fault::mean_of_all) h = h + 0.1 * h.mean(1, /*keepdim=*/true);
    if (fault == Fault::last_alone) {
      auto last = at::zeros_like(h);
      last.select(1, 2).copy_(h.select(1, n - 1));  // position 2 sees the last token and no other that is later
      h = h + last;
    }
    if (fault == Fault::conv_ahead) {
      h = at::conv1d(h.transpose(1, 2), conv, {}, /*stride=*/1, /*padding=*/1).transpose(1, 2);
    }
    return h + fc->forward(h);
  }

  Fault fault;
  LayerNorm norm{nullptr};
  MultiHeadAttention attn{nullptr};
  Linear fc{nullptr};
  at::Tensor conv;
};

struct Decoder : torch::nn::Module {
  explicit Decoder(Fault first, Fault second) {
    at::manual_seed(1);
    embed = register_parameter("embed", at::randn({17, kDim}));
    layers = {register_module("0", std::make_shared<Layer>(first)),
              register_module("1", std::make_shared<Layer>(second))};
    head = register_module("head", Linear({.in_features = kDim, .out_features = 17}));
  }

  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& lengths = {}) {
    at::Tensor x = tokens.is_floating_point() ? tokens : at::embedding(embed, tokens);
    for (const auto& layer : layers) x = layer->forward(x, lengths);
    return head->forward(x);
  }

  at::Tensor embed;
  std::vector<std::shared_ptr<Layer>> layers;
  Linear head{nullptr};
};

std::vector<MaskLeak> audit(Decoder& model, const at::Tensor& tokens, const AuditOptions& options) {
  return audit_masks(
      model, [&](const at::Tensor& x) { return model.forward(x, options.lengths); }, tokens, options);
}

at::Tensor ids(int64_t batch = 2) {
  return at::randint(17, {batch, kTokens}, at::TensorOptions(at::kLong));
}

TEST(MaskAudit, IsSilentWhereMasksHold) {
  Decoder model(Fault::none, Fault::none);
  const auto lengths = at::tensor({5, 13}, at::kLong);
  for (const auto& tokens : {ids(), at::randn({2, kTokens, kDim})}) {
    EXPECT_TRUE(audit(model, tokens, {.causal = true}).empty());
    EXPECT_TRUE(audit(model, tokens, {.lengths = lengths}).empty());
    EXPECT_TRUE(audit(model, tokens, {.causal = true, .lengths = lengths}).empty());
  }
  EXPECT_TRUE(audit(model, ids(1), {.causal = true, .vocabulary = 17}).empty());
}

struct Planted {
  Fault fault;
  const char* layer;
  const char* behind;
  const char* before;
};

TEST(MaskAudit, NamesTheLayerThatLooksAhead) {
  for (const auto& [fault, layer, behind, before] :
       std::vector<Planted>{{Fault::no_mask, "1.attn", "1.attn.v", "1.attn.proj"},
                            {Fault::one_ahead, "1.attn", "1.attn.v", "1.attn.proj"},
                            {Fault::weak, "1.attn", "1.attn.v", "1.attn.proj"},
                            {Fault::mean_of_all, "1", "1.attn.proj", "1.fc"},
                            {Fault::last_alone, "1", "1.attn.proj", "1.fc"},
                            {Fault::conv_ahead, "1", "1.attn.proj", "1"}}) {
    Decoder model(Fault::none, fault);
    for (const auto& tokens : {ids(), at::randn({2, kTokens, kDim})}) {
      const auto leaks = audit(model, tokens, {.causal = true});
      ASSERT_EQ(leaks.size(), 1u) << before;
      EXPECT_EQ(leaks[0].what, "future");
      EXPECT_EQ(leaks[0].layer, layer);
      EXPECT_EQ(leaks[0].behind, behind);
      EXPECT_EQ(leaks[0].before, before);
      EXPECT_GT(leaks[0].change, 1e-4);
      EXPECT_LT(leaks[0].noticed, leaks[0].changed);
    }
  }
}

TEST(MaskAudit, NamesTheFirstOfSeveralLayers) {
  Decoder model(Fault::no_mask, Fault::no_mask);
  const auto leaks = audit(model, ids(), {.causal = true});
  ASSERT_EQ(leaks.size(), 1u);
  EXPECT_EQ(leaks[0].layer, "0.attn");
}

TEST(MaskAudit, SaysWhereItWasNoticed) {
  Decoder one_ahead(Fault::none, Fault::one_ahead), last_alone(Fault::none, Fault::last_alone);
  const auto near = audit(one_ahead, ids(), {.causal = true});
  ASSERT_EQ(near.size(), 1u);
  EXPECT_EQ(near[0].changed, 1);
  EXPECT_EQ(near[0].noticed, 0);
  const auto far = audit(last_alone, ids(), {.causal = true});
  ASSERT_EQ(far.size(), 1u);
  EXPECT_EQ(far[0].noticed, 2);
}

TEST(MaskAudit, NamesTheLayerThatReadsPadding) {
  const auto lengths = at::tensor({5, 9}, at::kLong);
  // Causal layers hide padding from what stands before it: these look at everything.
  Decoder model(Fault::none, Fault::none);
  for (const auto& layer : model.layers) layer->fault = Fault::no_mask;
  EXPECT_TRUE(audit(model, ids(), {.lengths = lengths}).empty());
  model.layers[1]->fault = Fault::mean_of_all;
  const auto leaks = audit(model, ids(), {.lengths = lengths});
  ASSERT_EQ(leaks.size(), 1u);
  EXPECT_EQ(leaks[0].what, "padding");
  EXPECT_EQ(leaks[0].layer, "1");
  EXPECT_EQ(leaks[0].changed, 5);
  EXPECT_EQ(leaks[0].noticed, 0);
}

// Nothing of fovea's: products with plain parameters.
struct Foreign : torch::nn::Module {
  explicit Foreign(bool leaky) : leaks(leaky) {
    at::manual_seed(2);
    for (const char* name : {"q", "k", "v", "out"}) register_parameter(name, at::randn({kDim, kDim}) / 5);
  }
  at::Tensor forward(const at::Tensor& x) {
    const auto parameters = named_parameters();
    const auto q = at::matmul(x, parameters["q"]), k = at::matmul(x, parameters["k"]),
               v = at::matmul(x, parameters["v"]);
    auto scores = at::matmul(q, k.transpose(1, 2));
    if (!leaks) scores = scores.masked_fill(at::ones({kTokens, kTokens}, at::kBool).triu(1), -INFINITY);
    return at::matmul(at::matmul(at::softmax(scores, -1), v), parameters["out"]);
  }
  bool leaks;
};

TEST(MaskAudit, SeesThroughModulesOfOthers) {
  for (const bool leaky : {false, true}) {
    Foreign model(leaky);
    const auto leaks = audit_masks(model, [&](const at::Tensor& x) { return model.forward(x); },
                                   at::randn({2, kTokens, kDim}), {.causal = true});
    EXPECT_EQ(leaks.size(), leaky ? 1u : 0u);
    if (leaky) {
      EXPECT_EQ(leaks[0].layer, "");
    }
  }
}

// A leak behind the last layer with parameters.
TEST(MaskAudit, SeesTheOutput) {
  Decoder model(Fault::none, Fault::none);
  const auto leaks =
      audit_masks(model, [&](const at::Tensor& x) { return model.forward(x).flip(1); }, ids(), {.causal = true});
  ASSERT_EQ(leaks.size(), 1u);
  EXPECT_EQ(leaks[0].layer, "");
  EXPECT_EQ(leaks[0].behind, "head");
  EXPECT_EQ(leaks[0].before, "the output");
}

TEST(MaskAudit, RefusesWhatCannotBe) {
  Decoder model(Fault::none, Fault::none);
  EXPECT_ERROR(audit(model, ids(), {}), ErrorKind::usage, "neither causal nor lengths");
  EXPECT_ERROR(audit(model, at::zeros({2, 1}, at::kLong), {.causal = true}), ErrorKind::usage, "got [2,1]");
  EXPECT_ERROR(audit(model, ids(), {.lengths = at::tensor({14, 1}, at::kLong)}), ErrorKind::data, "lengths [2]");
  EXPECT_ERROR(audit(model, ids(), {.lengths = at::tensor({1}, at::kLong)}), ErrorKind::data, "lengths [2]");
  EXPECT_ERROR(
      audit_masks(model, [&](const at::Tensor& x) { return model.forward(x) + at::rand({}); }, ids(), {.causal = true}),
      ErrorKind::usage, "answers differently to the same tokens");
}

}  // namespace
}  // namespace fovea::testing
