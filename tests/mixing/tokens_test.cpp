// Attention-free, Fourier, convolutional and routed mixing against plain loops in fp64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numbers>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/mixing/attention_free.h"
#include "fovea/modules/mixing/fourier_mixing.h"
#include "fovea/modules/mixing/mixture_of_experts.h"
#include "fovea/modules/mixing/temporal_conv.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

double number(const at::Tensor& t) {
  return t.item<double>();
}

Vector product(const Linear& layer, const Vector& x) {
  const auto y = times(layer->weight, x);
  return layer->bias.defined() ? plus(y, row(layer->bias)) : y;
}

AttentionFree attention_free(int64_t tokens, int64_t rank, bool causal) {
  AttentionFree layer({.dim = 3, .hidden = 4, .tokens = tokens, .rank = rank, .causal = causal});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_();
  return layer;
}

// w_ij of a layer.
double pair(const AttentionFree& layer, int64_t i, int64_t j) {
  if (layer->options.tokens == 0) return 0;
  return layer->options.rank == 0 ? number(layer->w[i][j]) : dot(row(layer->u[i]), row(layer->r[j]));
}

TEST(AttentionFree, IsItsFormulaFullSimpleFactoredAndCausal) {
  at::manual_seed(1);
  const auto x = at::randn({2, 5, 3}, at::kDouble);
  const auto mask = at::arange(10).ne(2).view({2, 5});
  for (const auto& [tokens, rank] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {7, 0}, {7, 2}}) {
    for (const bool causal : {false, true}) {
      auto layer = attention_free(tokens, rank, causal);
      const auto got = layer->forward(x, mask);
      AttentionRecorder recorder(*layer, {.queries = {4, 1}});
      EXPECT_TRUE(at::equal(layer->forward(x, mask), got));
      ASSERT_EQ(recorder.maps().size(), 1);
      for (int64_t b = 0; b < 2; ++b) {
        for (int64_t i = 0; i < 5; ++i) {
          if (!mask[b][i].item<bool>()) continue;  // a token that is none
          const auto q = product(layer->q, row(x[b][i]));
          Vector y(4, 0), mean(5, 0);
          for (size_t c = 0; c < 4; ++c) {
            double sum = 0, total = 0;
            Vector weights(5, 0);
            for (int64_t j = 0; j < (causal ? i + 1 : 5); ++j) {
              if (!mask[b][j].item<bool>()) continue;
              const double weight = std::exp(product(layer->k, row(x[b][j]))[c] + pair(layer, i, j));
              weights[static_cast<size_t>(j)] = weight;
              total += weight;
              sum += weight * product(layer->v, row(x[b][j]))[c];
            }
            y[c] = sum / total / (1 + std::exp(-q[c]));
            for (size_t j = 0; j < 5; ++j) mean[j] += weights[j] / total / 4;
          }
          const auto expected = product(layer->proj, y);
          for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(row(got[b][i])[c], expected[c], 1e-11);
          if (i != 4 && i != 1) continue;
          const auto map = row(recorder.maps()[0].weights[b][0][i == 4 ? 0 : 1]);
          for (size_t j = 0; j < 5; ++j) EXPECT_NEAR(map[j], mean[j], 1e-6);
        }
      }
      auto leaves = layer->parameters();
      leaves.push_back(x.clone().requires_grad_(true));
      EXPECT_LE(leaf_gradient_error([&] { return layer->forward(leaves.back(), mask); }, leaves), 1e-5);
    }
  }
}

TEST(AttentionFree, WhatIsMaskedHasNoEffectAndLargeKeysStayFinite) {
  at::manual_seed(2);
  auto layer = attention_free(6, 0, false);
  auto x = at::randn({1, 6, 3}, at::kDouble);
  const auto mask = at::arange(6).ne(3).unsqueeze(0);
  const auto others = at::tensor({0, 1, 2, 4, 5}, at::kLong);
  const auto plain = layer->forward(x, mask).index_select(1, others);
  x[0][3] = NAN;
  EXPECT_TRUE(at::equal(layer->forward(x, mask).index_select(1, others), plain));
  EXPECT_TRUE(at::isfinite(layer->forward(at::randn({1, 6, 3}, at::kDouble) * 1e4)).all().item<bool>());
  EXPECT_TRUE(at::isfinite(layer->forward(x, at::zeros({1, 6}, at::kBool))).all().item<bool>());
}

// Keys decide, never a product with the query: every query of AFT-simple sees the same.
TEST(AttentionFree, SimpleCostsLinearAndFullHoldsNoCube) {
  const at::NoGradGuard no_grad;
  AttentionFree simple({.dim = 4});
  AttentionRecorder recorder(*simple);
  simple->forward(at::randn({1, 6, 4}));
  const auto map = recorder.maps()[0].weights[0][0];
  EXPECT_LE((map - map[0]).abs().max().item<double>(), 1e-7);
  AttentionFree unseen({.dim = 4}), causal({.dim = 4, .causal = true});
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { unseen->forward(at::zeros({1, N, 4})); }), Each(::testing::Lt(4.1)));
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { causal->forward(at::zeros({1, N, 4})); }), Each(::testing::Lt(4.1)));
  AttentionFree full({.dim = 64, .tokens = 512});
  const AllocatedBytes counted;
  full->forward(at::zeros({1, 512, 64}));
  EXPECT_LE(counted.largest(), 512 * 512 * 4);
  EXPECT_THAT(error_of([] { AttentionFree({.dim = 0}); }), StartsWith("2: "));
  EXPECT_THAT(error_of([] { AttentionFree({.dim = 4, .rank = 2}); }), AllOf(StartsWith("2: "), HasSubstr("rank 2")));
  EXPECT_THAT(error_of([&] { full->forward(at::zeros({1, 513, 64})); }), AllOf(StartsWith("3: "), HasSubstr("513")));
  EXPECT_THAT(error_of([&] { full->forward(at::zeros({1, 5, 63})); }), HasSubstr("[1,5,63]"));
  EXPECT_THAT(error_of([&] { full->forward(at::zeros({1, 5, 64}), at::ones({1, 4}, at::kBool)); }), HasSubstr("[1,4]"));
}

TEST(FourierMixing, IsTheSumOfCosinesForEverySize) {
  at::manual_seed(3);
  for (const auto& [N, D] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {4, 3}, {7, 5}}) {
    const auto x = at::randn({2, N, D}, at::kDouble);
    const auto got = fourier_mixing(x);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t i = 0; i < N; ++i) {
        for (int64_t c = 0; c < D; ++c) {
          double sum = 0;
          for (int64_t j = 0; j < N; ++j) {
            for (int64_t k = 0; k < D; ++k) {
              const double turns = static_cast<double>(i * j) / static_cast<double>(N) +
                                   static_cast<double>(c * k) / static_cast<double>(D);
              sum += number(x[b][j][k]) * std::cos(2 * std::numbers::pi * turns);
            }
          }
          EXPECT_NEAR(number(got[b][i][c]), sum, 1e-11);
        }
      }
    }
    EXPECT_LE(gradient_error([](const auto& in) { return fourier_mixing(in[0]); }, {x}), 1e-7);
  }
  EXPECT_EQ(fourier_mixing(at::ones({1, 4, 4}, at::kBFloat16)).scalar_type(), at::kBFloat16);
  EXPECT_THAT(growth_of_bytes([](int64_t N) { fourier_mixing(at::zeros({1, N, 4})); }), Each(::testing::Lt(4.1)));
  EXPECT_THAT(error_of([] { fourier_mixing(at::zeros({4, 4})); }), AllOf(StartsWith("3: "), HasSubstr("[4,4]")));
  EXPECT_THAT(error_of([] { fourier_mixing(at::zeros({1, 0, 4})); }), HasSubstr("[1,0,4]"));
  EXPECT_THAT(error_of([] { fourier_mixing(at::zeros({1, 4, 4}, at::kLong)); }), HasSubstr("Long"));
}

// W of an output and a tap.
Vector tap(const CausalConv1d& conv, int64_t out, int64_t i) {
  if (!conv->options.weight_norm) return row(conv->weight[out].select(-1, i));
  const double norm = number(conv->weight_v[out].square().sum().sqrt());
  auto weights = row(conv->weight_v[out].select(-1, i));
  for (double& w : weights) w *= number(conv->weight_g[out]) / norm;
  return weights;
}

Vector convolved(const CausalConv1d& conv, const std::vector<Vector>& x, int64_t t) {
  Vector y = row(conv->bias);
  const int64_t K = conv->options.kernel;
  for (int64_t out = 0; out < conv->options.out_channels; ++out) {
    for (int64_t i = 0; i < K; ++i) {
      const int64_t from = t - (K - 1 - i) * conv->options.dilation;
      if (from >= 0) y[static_cast<size_t>(out)] += dot(tap(conv, out, i), x[static_cast<size_t>(from)]);
    }
  }
  return y;
}

std::vector<Vector> relu(std::vector<Vector> x) {
  for (auto& v : x) v = each(std::move(v), [](double y) { return std::max(y, 0.0); });
  return x;
}

std::vector<Vector> convolved(const CausalConv1d& conv, const std::vector<Vector>& x) {
  std::vector<Vector> y;
  for (size_t t = 0; t < x.size(); ++t) y.push_back(convolved(conv, x, static_cast<int64_t>(t)));
  return y;
}

TEST(TemporalConv, IsItsBlocksByLoopsWithTheAuthorsKeys) {
  at::manual_seed(4);
  TemporalConv layer({.in_channels = 2, .channels = {3, 3}, .kernel = 3});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_(0, 0.7);
  const auto x = at::randn({1, 9, 2}, at::kDouble);
  std::vector<Vector> y;
  for (int64_t t = 0; t < 9; ++t) y.push_back(row(x[0][t]));
  for (const auto& block : layer->network->blocks) {
    const auto inner = relu(convolved(block->conv2, relu(convolved(block->conv1, y))));
    const auto stem = block->downsample ? convolved(block->downsample, y) : y;
    for (size_t t = 0; t < y.size(); ++t) y[t] = plus(inner[t], stem[t]);
    y = relu(y);
  }
  const auto got = layer->forward(x);
  for (int64_t t = 0; t < 9; ++t) {
    for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(row(got[0][t])[c], y[static_cast<size_t>(t)][c], 1e-11) << t;
  }
  const auto keys = layer->named_parameters();
  for (const char* key : {"network.0.conv1.weight_g", "network.1.conv2.weight_v", "network.0.downsample.weight"}) {
    EXPECT_TRUE(keys.contains(key)) << key;
  }
  EXPECT_FALSE(keys.contains("network.1.downsample.weight"));
  EXPECT_LE(module_gradient_error(*layer, x), 1e-5);
}

// A token depends on exactly the tokens of its receptive field, and never on a later one.
TEST(TemporalConv, SeesItsReceptiveFieldAndNothingElse) {
  at::manual_seed(5);
  TemporalConv layer({.in_channels = 2, .channels = {4, 4, 4}, .kernel = 2});
  for (auto& parameter : layer->parameters()) parameter.detach().uniform_(0.1, 1);
  EXPECT_EQ(layer->receptive_field(), 15);
  auto x = at::rand({1, 40, 2}).requires_grad_(true);
  layer->forward(x)[0][30].sum().backward();
  const auto reached = x.grad()[0].abs().sum(1).ne(0);
  for (int64_t t = 0; t < 40; ++t) EXPECT_EQ(reached[t].item<bool>(), t > 15 && t <= 30) << t;
  const at::NoGradGuard no_grad;
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { layer->forward(at::zeros({1, N, 2})); }), Each(::testing::Lt(6)));
  EXPECT_THAT(error_of([] { TemporalConv({.in_channels = 2}); }), AllOf(StartsWith("2: "), HasSubstr("[]")));
  EXPECT_THAT(error_of([] { TemporalConv({.in_channels = 2, .channels = {3}, .dropout = 1}); }),
              HasSubstr("dropout 1"));
  EXPECT_THAT(error_of([] { CausalConv1d({.in_channels = 3, .out_channels = 4, .groups = 2}); }),
              HasSubstr("groups 2"));
  EXPECT_THAT(error_of([&] { layer->forward(at::zeros({1, 5, 3})); }), AllOf(StartsWith("3: "), HasSubstr("[1,5,3]")));
}

MixtureOfExperts experts(int64_t top_k) {
  MixtureOfExperts layer({.features = 3, .hidden = 5, .experts = 4, .top_k = top_k});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_();
  return layer;
}

TEST(MixtureOfExperts, SendsEachTokenToItsBestExperts) {
  for (const int64_t top_k : {1, 2, 4}) {
    at::manual_seed(6);
    auto layer = experts(top_k);
    const auto x = at::randn({2, 6, 3}, at::kDouble);
    AttentionRecorder recorder(*layer);
    const auto got = layer->forward(x);
    EXPECT_EQ(recorder.maps().at(0).weights.sizes(), at::IntArrayRef({2, 1, 6, 4}));
    Vector share(4, 0), mean(4, 0);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t t = 0; t < 6; ++t) {
        auto p = each(product(layer->router, row(x[b][t])), [](double s) { return std::exp(s); });
        double total = 0;
        for (const double v : p) total += v;
        for (double& v : p) v /= total;
        std::vector<size_t> order = {0, 1, 2, 3};
        std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p[i] > p[j]; });
        double kept = 0;
        for (int64_t i = 0; i < top_k; ++i) kept += p[order[static_cast<size_t>(i)]];
        Vector y(3, 0);
        for (int64_t i = 0; i < top_k; ++i) {
          const size_t e = order[static_cast<size_t>(i)];
          share[e] += 1.0 / static_cast<double>(12 * top_k);
          const auto& mlp = layer->experts->list[e];
          auto hidden = product(mlp->fc1, row(x[b][t]));
          for (double& v : hidden) v = v / 2 * (1 + std::erf(v / std::sqrt(2.0)));
          const auto answer = product(mlp->fc2, hidden);
          const double gate = top_k == 1 ? p[e] : p[e] / kept;
          for (size_t c = 0; c < 3; ++c) y[c] += gate * answer[c];
          EXPECT_EQ(got.choice[b][t][i].item<int64_t>(), static_cast<int64_t>(e));
        }
        for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(row(got.output[b][t])[c], y[c], 1e-11);
        for (size_t e = 0; e < 4; ++e) mean[e] += p[e] / 12;
      }
    }
    EXPECT_NEAR(number(got.load_balancing_loss), 4 * dot(share, mean), 1e-11);
    auto leaves = layer->parameters();
    leaves.push_back(x.clone().requires_grad_(true));
    const auto f = [&] {
      const auto result = layer->forward(leaves.back());
      return at::cat({result.output.flatten(), result.load_balancing_loss.view(1)});
    };
    EXPECT_LE(leaf_gradient_error(f, leaves), 1e-5);
  }
}

TEST(MixtureOfExperts, LossIsOneWhenBalancedAndMakesItSo) {
  at::manual_seed(7);
  auto layer = experts(1);
  layer->router->weight.detach().zero_();
  EXPECT_NEAR(number(layer->forward(at::randn({4, 16, 3}, at::kDouble)).load_balancing_loss), 1, 1e-12);
  // A router that sends every token to the first expert learns, by the loss alone, to spread them.
  const auto x = at::cat({at::ones({8, 16, 1}, at::kDouble), at::randn({8, 16, 2}, at::kDouble)}, 2);
  layer->router->weight.detach().normal_(0, 0.3)[0][0] += 3;
  const double before = number(layer->forward(x).load_balancing_loss);
  EXPECT_GT(before, 2);
  for (int step = 0; step < 300; ++step) {
    layer->zero_grad();
    layer->forward(x).load_balancing_loss.backward();
    const at::NoGradGuard no_grad;
    layer->router->weight.sub_(layer->router->weight.grad());
  }
  EXPECT_LT(number(layer->forward(x).load_balancing_loss), 1.1);
}

TEST(MixtureOfExperts, CostDoesNotGrowWithTheExperts) {
  const at::NoGradGuard no_grad;
  for (const int64_t E : {4, 64}) {
    MixtureOfExperts layer({.features = 8, .hidden = 16, .experts = E, .top_k = 2});
    const MultiplyAdds counted;
    layer->forward(at::randn({1, 32, 8}));
    EXPECT_EQ(counted.count(), 32 * 2 * 2 * 8 * 16 + 32 * 8 * E);
  }
  EXPECT_THAT(error_of([] { MixtureOfExperts({.features = 8, .hidden = 8, .experts = 4, .top_k = 5}); }),
              AllOf(StartsWith("2: "), HasSubstr("top_k 5")));
  EXPECT_THAT(error_of([] { MixtureOfExperts({.features = 8, .hidden = 8}); }), HasSubstr("experts 0"));
  MixtureOfExperts layer({.features = 8, .hidden = 8, .experts = 4});
  EXPECT_THAT(error_of([&] { layer->forward(at::zeros({2, 7})); }), AllOf(StartsWith("3: "), HasSubstr("[2,7]")));
}

}  // namespace
}  // namespace fovea::testing
