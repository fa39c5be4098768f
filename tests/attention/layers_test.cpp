#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>

#include "fovea/modules/attention/additive.h"
#include "fovea/modules/attention/decode.h"
#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/error.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea {
namespace {

using testing::relative_error;

TEST(MultiHeadAttention, EqualsTorchWithTheSameWeightsOutputsAndGradients) {
  at::manual_seed(1);
  torch::nn::MultiheadAttention peer(torch::nn::MultiheadAttentionOptions(24, 3).kdim(10).vdim(10));
  MultiHeadAttention ours({.d_model = 24, .heads = 3, .key_width = 10});
  {
    at::NoGradGuard no_grad;
    ours->q->weight.copy_(peer->q_proj_weight);
    ours->k->weight.copy_(peer->k_proj_weight);
    ours->v->weight.copy_(peer->v_proj_weight);
    const auto bias = peer->in_proj_bias.chunk(3);
    ours->q->bias.copy_(bias[0]);
    ours->k->bias.copy_(bias[1]);
    ours->v->bias.copy_(bias[2]);
    ours->proj->weight.copy_(peer->out_proj->weight);
    ours->proj->bias.copy_(peer->out_proj->bias);
  }
  const auto inputs = [] {
    at::manual_seed(2);
    std::vector<at::Tensor> all;
    for (const auto& [tokens, width] : {std::pair{5, 24}, {7, 10}, {7, 10}}) {
      all.push_back(at::randn({2, tokens, width}).requires_grad_(true));
    }
    return all;
  };
  const auto theirs = inputs(), mine = inputs();
  const auto expected =
      std::get<0>(peer->forward(theirs[0].transpose(0, 1), theirs[1].transpose(0, 1), theirs[2].transpose(0, 1)))
          .transpose(0, 1);
  const auto got = ours->forward(mine[0], mine[1], mine[2]);
  EXPECT_LE(relative_error(got, expected), 1e-5);
  expected.pow(2).sum().backward();
  got.pow(2).sum().backward();
  for (size_t i = 0; i < 3; ++i) EXPECT_LE(relative_error(mine[i].grad(), theirs[i].grad()), 1e-4) << i;
  EXPECT_LE(relative_error(ours->q->weight.grad(), peer->q_proj_weight.grad()), 1e-4);
  EXPECT_LE(relative_error(ours->k->weight.grad(), peer->k_proj_weight.grad()), 1e-4);
  EXPECT_LE(relative_error(ours->v->weight.grad(), peer->v_proj_weight.grad()), 1e-4);
  EXPECT_LE(relative_error(ours->proj->weight.grad(), peer->out_proj->weight.grad()), 1e-4);
  EXPECT_LE(relative_error(ours->proj->bias.grad(), peer->out_proj->bias.grad()), 1e-4);
  const auto biases = peer->in_proj_bias.grad().chunk(3);
  EXPECT_LE(relative_error(ours->q->bias.grad(), biases[0]), 1e-4);
  EXPECT_LE(relative_error(ours->v->bias.grad(), biases[2]), 1e-4);
}

// Queries, keys and values of three widths: torch's own takes keys and values of one alone.
TEST(MultiHeadAttention, TakesThreeWidths) {
  at::manual_seed(8);
  MultiHeadAttention layer({.d_model = 6, .heads = 2, .key_width = 5, .value_width = 3});
  layer->to(at::kDouble);
  const auto o = at::TensorOptions(at::kDouble);
  auto leaves = layer->parameters();
  for (const auto& [tokens, width] : {std::pair{4, 6}, {7, 5}, {7, 3}}) {
    leaves.push_back(at::randn({2, tokens, width}, o).requires_grad_(true));
  }
  const size_t n = leaves.size();
  const auto run = [&] { return layer->forward(leaves[n - 3], leaves[n - 2], leaves[n - 1]); };
  const auto heads = [](const at::Tensor& x, const Linear& by) {
    return at::linear(x.detach(), by->weight, by->bias).detach().view({2, x.size(1), 2, 3}).transpose(1, 2);
  };
  const auto mixed = testing::oracle_attention({.q = heads(leaves[n - 3], layer->q),
                                                .k = heads(leaves[n - 2], layer->k),
                                                .v = heads(leaves[n - 1], layer->v),
                                                .scale = 1 / std::sqrt(3.0)});
  const auto expected = at::linear(mixed.transpose(1, 2).reshape({2, 4, 6}), layer->proj->weight, layer->proj->bias);
  EXPECT_LE(relative_error(run(), expected), 1e-12);
  EXPECT_LE(testing::leaf_gradient_error(run, leaves), 1e-5);
  EXPECT_THROW(layer->forward(leaves[n - 3], leaves[n - 1], leaves[n - 1]), Error);
}

TEST(MultiHeadAttention, DifferentiatesGroupedAndWithoutBias) {
  for (const bool bias : {true, false}) {
    at::manual_seed(7);
    MultiHeadAttention layer({.d_model = 8, .heads = 4, .kv_heads = 2, .bias = bias});
    EXPECT_EQ(layer->parameters().size(), bias ? 8 : 4);
    EXPECT_LE(testing::module_gradient_error(*layer, at::randn({2, 3, 8}, at::kDouble)), 1e-5);
  }
}

TEST(MultiHeadAttention, GroupedHeadsEqualRepeatedOnes) {
  at::manual_seed(2);
  MultiHeadAttention grouped({.d_model = 16, .heads = 4, .kv_heads = 2});
  MultiHeadAttention full({.d_model = 16, .heads = 4});
  at::NoGradGuard no_grad;
  const auto repeat = [](const at::Tensor& t) {
    return t.view({2, 1, 4, -1}).expand({2, 2, 4, t.numel() / 8}).reshape({16, -1}).squeeze(-1);
  };
  full->q->weight.copy_(grouped->q->weight);
  full->q->bias.copy_(grouped->q->bias);
  full->k->weight.copy_(repeat(grouped->k->weight));
  full->k->bias.copy_(repeat(grouped->k->bias));
  full->v->weight.copy_(repeat(grouped->v->weight));
  full->v->bias.copy_(repeat(grouped->v->bias));
  full->proj->weight.copy_(grouped->proj->weight);
  full->proj->bias.copy_(grouped->proj->bias);
  const auto x = at::randn({2, 6, 16});
  EXPECT_LE(relative_error(grouped->forward(x), full->forward(x)), 1e-5);
}

TEST(MultiHeadAttention, RefusesWhatCannotWork) {
  const auto text = [](const MultiHeadAttentionOptions& options) -> std::string {
    try {
      MultiHeadAttention layer(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(text({.d_model = 100, .heads = 12}), "multi_head_attention: d_model 100 is not divisible by heads 12");
  EXPECT_NE(text({.d_model = 12}).find("heads 0"), std::string::npos);
  EXPECT_NE(text({.d_model = 12, .heads = -3}).find("heads -3"), std::string::npos);
  EXPECT_NE(text({.d_model = 12, .heads = 4, .kv_heads = 3}).find("kv_heads 3"), std::string::npos);
  MultiHeadAttention layer({.d_model = 8, .heads = 2});
  EXPECT_THROW(layer->forward(at::randn({1, 2, 9})), Error);
}

TEST(MultiHeadAttention, DropoutActsInTrainingAlone) {
  at::manual_seed(3);
  MultiHeadAttention layer({.d_model = 8, .heads = 2, .dropout = 0.5});
  const auto x = at::randn({1, 6, 8});
  EXPECT_FALSE(at::equal(layer->forward(x), layer->forward(x)));
  layer->eval();
  EXPECT_TRUE(at::equal(layer->forward(x), layer->forward(x)));
}

// vᵀ·tanh(q + k) by loops.
at::Tensor additive_oracle(const at::Tensor& q, const at::Tensor& k, const at::Tensor& values, const at::Tensor& v,
                           const at::Tensor& mask) {
  const int64_t B = q.size(0), N = q.size(1), M = k.size(1), e = values.size(2);
  auto out = at::zeros({B, N, e}, at::kDouble);
  for (int64_t b = 0; b < B; ++b) {
    const int64_t kb = k.size(0) == 1 ? 0 : b;
    for (int64_t i = 0; i < N; ++i) {
      std::vector<double> w(M, 0.0);
      double sum = 0;
      for (int64_t j = 0; j < M; ++j) {
        if (mask.defined() && !mask[b][j].item<bool>()) continue;
        double s = 0;
        for (int64_t t = 0; t < v.size(0); ++t) {
          s += v[t].item<double>() * std::tanh(q[b][i][t].item<double>() + k[kb][j][t].item<double>());
        }
        sum += w[j] = std::exp(s);
      }
      for (int64_t j = 0; j < M && sum > 0; ++j) {
        if (w[j] > 0) out[b][i] += w[j] / sum * values[kb][j];
      }
    }
  }
  return out;
}

TEST(AdditiveAttention, MatchesLoopsAlsoWithSharedKeysAndMasks) {
  at::manual_seed(4);
  const auto o = at::TensorOptions(at::kDouble);
  for (const int64_t shared : {0, 1}) {
    for (const bool masked : {false, true}) {
      const auto q = at::randn({2, 2, 3}, o), k = at::randn({shared ? 1 : 2, 5, 3}, o),
                 values = at::randn({shared ? 1 : 2, 5, 4}, o), v = at::randn({3}, o);
      AdditiveAttentionArgs args;
      if (masked) {
        args.mask = at::rand({2, 5}) > 0.4;
        args.mask[1].fill_(false);
      }
      const auto result = additive_attention(q, k, values, v, args);
      EXPECT_LE((result.context - additive_oracle(q, k, values, v, args.mask)).abs().max().item<double>(), 1e-12);
      const auto f = [&](const std::vector<at::Tensor>& in) {
        return additive_attention(in[0], in[1], in[2], in[3], args).context;
      };
      EXPECT_LE(testing::gradient_error(f, {q, k, values, v}), 1e-5);
    }
  }
}

TEST(AdditiveAttention, NaNInMaskedPlacesHasNoEffectAndShapesAreChecked) {
  const auto q = at::randn({1, 1, 3}), v = at::randn({3});
  auto k = at::randn({1, 4, 3}), values = at::randn({1, 4, 2});
  const auto mask = at::tensor({1, 1, 1, 0}).to(at::kBool).unsqueeze(0);
  const auto expected = additive_attention(q, k, values, v, {.mask = mask}).context;
  k[0][3].fill_(NAN);
  values[0][3].fill_(NAN);
  EXPECT_TRUE(at::equal(additive_attention(q, k, values, v, {.mask = mask}).context, expected));
  EXPECT_THROW(additive_attention(q, k, values, at::randn({4})), Error);
  EXPECT_THROW(additive_attention(q, k, values, v, {.mask = at::ones({1, 4})}), Error);
}

TEST(KeyValueCache, StepsEqualTheFullPassAndBeamsShareKeys) {
  at::manual_seed(5);
  const auto q = at::randn({2, 3, 9, 4}), k = at::randn({2, 3, 9, 4}), v = at::randn({2, 3, 9, 5});
  const auto full = attention(q, k, v, {.causal = true});
  KeyValueCache cache;
  for (int64_t t = 0; t < 9; ++t) {
    cache.append(k.narrow(2, t, 1), v.narrow(2, t, 1));
    EXPECT_LE(relative_error(decode_attention(q.narrow(2, t, 1), cache), full.narrow(2, t, 1)), 1e-5);
  }
  // Three beams of each of two images.
  const auto beams = at::randn({6, 3, 1, 4});
  const auto repeated = [](const at::Tensor& t) { return t.repeat_interleave(3, 0); };
  const auto expected = attention(beams, repeated(k), repeated(v));
  EXPECT_LE(relative_error(decode_attention(beams, cache), expected), 1e-5);
  const auto mask = at::rand({6, 1, 1, 9}) > 0.3;
  EXPECT_LE(relative_error(decode_attention(beams, cache, {.mask = mask}),
                           attention(beams, repeated(k), repeated(v), {.mask = mask})),
            1e-5);
  cache.select(at::tensor({1, 1, 0}, at::kLong));
  EXPECT_TRUE(at::equal(cache.keys()[2], k[0]));
  EXPECT_THROW(cache.append(at::randn({2, 3, 1, 4}), at::randn({2, 3, 1, 5})), Error);
  EXPECT_THROW(decode_attention(beams.narrow(0, 0, 4), cache), Error);
  EXPECT_THROW(decode_attention(beams, KeyValueCache()), Error);
}

TEST(Holder, KeepsTypesAndFollowsCloneAndTo) {
  MultiHeadAttention layer({.d_model = 8, .heads = 2});
  layer->to(at::kBFloat16);
  EXPECT_EQ(layer->q->weight.scalar_type(), at::kBFloat16);
  const auto copy = std::dynamic_pointer_cast<MultiHeadAttentionImpl>(layer->clone());
  ASSERT_NE(copy, nullptr);
  EXPECT_TRUE(at::equal(copy->q->weight, layer->q->weight));
  EXPECT_NE(copy->q->weight.data_ptr(), layer->q->weight.data_ptr());
  EXPECT_EQ(layer->named_parameters().keys(),
            (std::vector<std::string>{"q.weight", "q.bias", "k.weight", "k.bias", "v.weight", "v.bias", "proj.weight",
                                      "proj.bias"}));
}

}  // namespace
}  // namespace fovea
