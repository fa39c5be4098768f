// Talking heads and class attention against loops.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "fovea/modules/attention/class_attention.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/talking_heads.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

template <typename Layer, typename Options>
Layer made(const Options& options) {
  at::manual_seed(1);
  Layer layer(options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer->parameters()) parameter.normal_(0, 0.7);
  return layer;
}

// Everything in fp64.
struct Loops {
  at::Tensor output, weights;  // weights of the softmax
};

double loop_dot(const at::Tensor& a, const at::Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(0); ++i) sum += a[i].item<double>() * b[i].item<double>();
  return sum;
}

Loops talking(TalkingHeadsImpl& layer, const at::Tensor& x) {
  const int64_t heads = layer.options.heads, dim = layer.options.dim, d = dim / heads, n = x.size(0);
  const auto qkv = at::linear(x, layer.qkv->weight, layer.qkv->bias);
  const auto part = [&](int64_t which, int64_t h) { return qkv.narrow(1, which * dim + h * d, d); };
  const auto mixed = [&](const std::vector<at::Tensor>& maps, LinearImpl& by) {
    std::vector<at::Tensor> out;
    for (int64_t h = 0; h < heads; ++h) {
      auto sum = at::full({n, n}, by.bias[h].item<double>(), at::kDouble);
      for (int64_t g = 0; g < heads; ++g) sum += by.weight[h][g].item<double>() * maps[g];
      out.push_back(sum);
    }
    return out;
  };
  std::vector<at::Tensor> scores;
  for (int64_t h = 0; h < heads; ++h) {
    auto own = at::zeros({n, n}, at::kDouble);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) own[i][j] = loop_dot(part(0, h)[i], part(1, h)[j]) / std::sqrt(double(d));
    }
    scores.push_back(own);
  }
  scores = mixed(scores, *layer.proj_l);
  for (auto& own : scores) {
    own = own.exp();
    own = own / own.sum(1, true);
  }
  const auto spoken = mixed(scores, *layer.proj_w);
  std::vector<at::Tensor> joined;
  for (int64_t h = 0; h < heads; ++h) joined.push_back(at::mm(spoken[h], part(2, h)));
  return {at::linear(at::cat(joined, 1), layer.proj->weight, layer.proj->bias), at::stack(scores)};
}

TEST(TalkingHeads, MixesHeadsBeforeAndAfterTheSoftmax) {
  auto layer = made<TalkingHeads>(TalkingHeadsOptions{.dim = 6, .heads = 3});
  layer->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto x = at::randn({2, 5, 6}, at::kDouble);
  const AttentionRecorder recorder(*layer);
  const auto y = layer->forward(x);
  ASSERT_EQ(recorder.maps().size(), 1);
  for (int64_t b = 0; b < 2; ++b) {
    const Loops expected = talking(*layer, x[b]);
    EXPECT_LE(relative_error(y[b], expected.output), tolerance(at::kDouble));
    EXPECT_LE((recorder.maps()[0].weights[b] - expected.weights).abs().max().item<double>(), 1e-6);
  }
}

TEST(TalkingHeads, RecordsTheRowsAndGradientsAskedFor) {
  auto layer = made<TalkingHeads>(TalkingHeadsOptions{.dim = 4, .heads = 2});
  const auto x = at::randn({1, 5, 4});
  const auto plain = layer->forward(x);
  AttentionRecorder recorder(*layer, {.queries = {3, 0}, .gradients = true});
  const auto y = layer->forward(x);
  EXPECT_TRUE(at::equal(y, plain));
  y.square().sum().backward();
  const auto& map = recorder.maps()[0];
  EXPECT_EQ(map.weights.sizes(), at::IntArrayRef({1, 2, 2, 5}));
  EXPECT_EQ(map.gradient.sizes(), map.weights.sizes());
  AttentionRecorder exact(*layer, {.differentiable = true});
  const auto again = layer->forward(x);
  const auto whole = torch::autograd::grad({again.square().sum()}, {exact.maps()[0].weights})[0];
  EXPECT_LE(relative_error(map.gradient.select(2, 0), whole.select(2, 3)), 1e-5);
  EXPECT_LE(relative_error(map.gradient.select(2, 1), whole.select(2, 0)), 1e-5);
}

TEST(TalkingHeads, Differentiates) {
  auto layer = made<TalkingHeads>(TalkingHeadsOptions{.dim = 4, .heads = 2});
  EXPECT_LE(module_gradient_error(*layer, at::randn({2, 3, 4}, at::kDouble)), 1e-5);
}

TEST(TalkingHeads, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(TalkingHeads(TalkingHeadsOptions{.heads = 2}), ErrorKind::usage, "dim 0");
  EXPECT_ERROR(TalkingHeads(TalkingHeadsOptions{.dim = 5, .heads = 2}), ErrorKind::usage, "not divisible by heads 2");
  EXPECT_ERROR(TalkingHeads(TalkingHeadsOptions{.dim = 4, .heads = 2, .attn_drop = 1}), ErrorKind::usage,
               "attn_drop 1");
  auto layer = made<TalkingHeads>(TalkingHeadsOptions{.dim = 4, .heads = 2});
  EXPECT_ERROR(layer->forward(at::zeros({1, 3, 5})), ErrorKind::data, "expected [B,N,4], got [1,3,5]");
}

TEST(ClassAttention, TheFirstTokenReadsAll) {
  auto layer = made<ClassAttention>(ClassAttentionOptions{.dim = 6, .heads = 2});
  layer->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto x = at::randn({2, 5, 6}, at::kDouble);
  const AttentionRecorder recorder(*layer);
  const auto y = layer->forward(x);
  ASSERT_EQ(y.sizes(), at::IntArrayRef({2, 1, 6}));
  for (int64_t b = 0; b < 2; ++b) {
    const auto q = at::linear(x[b][0], layer->q->weight, layer->q->bias);
    const auto k = at::linear(x[b], layer->k->weight, layer->k->bias);
    const auto v = at::linear(x[b], layer->v->weight, layer->v->bias);
    std::vector<at::Tensor> joined;
    for (int64_t h = 0; h < 2; ++h) {
      std::vector<double> weights;
      double sum = 0;
      for (int64_t j = 0; j < 5; ++j) {
        weights.push_back(std::exp(loop_dot(q.narrow(0, 3 * h, 3), k[j].narrow(0, 3 * h, 3)) / std::sqrt(3.0)));
        sum += weights.back();
      }
      auto mixed = at::zeros({3}, at::kDouble);
      for (int64_t j = 0; j < 5; ++j) {
        mixed += weights[j] / sum * v[j].narrow(0, 3 * h, 3);
        EXPECT_NEAR(recorder.maps()[0].weights[b][h][0][j].item<double>(), weights[j] / sum, 1e-6);
      }
      joined.push_back(mixed);
    }
    const auto expected = at::linear(at::cat(joined), layer->proj->weight, layer->proj->bias);
    EXPECT_LE(relative_error(y[b][0], expected), tolerance(at::kDouble));
  }
}

TEST(ClassAttention, Differentiates) {
  auto layer = made<ClassAttention>(ClassAttentionOptions{.dim = 4, .heads = 2});
  EXPECT_LE(module_gradient_error(*layer, at::randn({2, 3, 4}, at::kDouble)), 1e-5);
}

TEST(ClassAttention, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(ClassAttention(ClassAttentionOptions{.dim = 4}), ErrorKind::usage, "heads 0");
  EXPECT_ERROR(ClassAttention(ClassAttentionOptions{.dim = 5, .heads = 2}), ErrorKind::usage,
               "not divisible by heads 2");
  auto layer = made<ClassAttention>(ClassAttentionOptions{.dim = 4, .heads = 2});
  EXPECT_ERROR(layer->forward(at::zeros({1, 0, 4})), ErrorKind::data, "expected [B,N,4], got [1,0,4]");
}

}  // namespace
}  // namespace fovea::testing
