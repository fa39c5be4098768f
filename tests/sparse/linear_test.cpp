// Linear families against their formulas by loops, and their costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/sparse/linear_attention.h"
#include "fovea/modules/sparse/linformer.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/sparse/growth.h"
#include "fovea/tests/sparse/recorded.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// out_i = Σ_j φ(q_i)·φ(k_j)·v_j / Σ_j φ(q_i)·φ(k_j), pair by pair.
at::Tensor kernel_oracle(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal,
                         const at::Tensor& mask, double (*feature)(double)) {
  auto out = at::zeros({q.size(0), q.size(1), q.size(2), v.size(3)}, kWide);
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t h = 0; h < q.size(1); ++h) {
      for (int64_t i = 0; i < q.size(2); ++i) {
        Vector sum(static_cast<size_t>(v.size(3)), 0);
        double total = 1e-6;
        for (int64_t j = 0; j < (causal ? i + 1 : k.size(2)); ++j) {
          if (mask.defined() && !mask[b][j].item<bool>()) continue;
          const double weight = dot(each(row(q[b][h][i]), feature), each(row(k[b][h][j]), feature));
          total += weight;
          for (size_t t = 0; t < sum.size(); ++t) sum[t] += weight * row(v[b][h][j])[t];
        }
        for (size_t t = 0; t < sum.size(); ++t) out[b][h][i][static_cast<int64_t>(t)] = sum[t] / total;
      }
    }
  }
  return out;
}

double elu_plus_one(double x) {
  return x > 0 ? x + 1 : std::exp(x);
}

TEST(LinearAttention, MatchesItsClosedFormCausalAndNot) {
  at::manual_seed(3);
  for (const bool causal : {false, true}) {
    const auto q = at::randn({2, 1, 70, 3}, kWide), k = at::randn({2, 1, 70, 3}, kWide),
               v = at::randn({2, 1, 70, 2}, kWide);
    const auto mask = at::rand({2, 70}) > 0.2;
    EXPECT_LE(
        relative_error(linear_attention(q, k, v, {.causal = causal}), kernel_oracle(q, k, v, causal, {}, elu_plus_one)),
        1e-11);
    EXPECT_LE(relative_error(linear_attention(q, k, v, {.causal = causal, .key_mask = mask}),
                             kernel_oracle(q, k, v, causal, mask, elu_plus_one)),
              1e-11);
    const auto f = [&](const auto& in) {
      return linear_attention(in[0], in[1], in[2], {.causal = causal, .key_mask = mask});
    };
    EXPECT_LE(gradient_error(f, {q, k, v}), 1e-5);
  }
}

// The recorded weights times the values are the output.
TEST(LinearAttention, RecordsTheWeightsThatItNeverHolds) {
  at::manual_seed(13);
  const auto q = at::randn({2, 2, 9, 3}), k = at::randn({2, 2, 9, 3}), v = at::randn({2, 2, 9, 4});
  const auto mask = at::rand({2, 9}) > 0.3;
  Linear layer({.in_features = 1, .out_features = 1});  // whoever calls
  for (const bool causal : {false, true}) {
    const LinearAttentionArgs args{.causal = causal, .key_mask = mask, .module = layer.get()};
    const auto plain = linear_attention(q, k, v, args);
    const AttentionRecorder all(*layer);
    EXPECT_TRUE(at::equal(linear_attention(q, k, v, args), plain));
    const auto weights = all.maps().at(0).weights;
    EXPECT_LE(relative_error(at::matmul(weights, v), plain), 1e-5);
    EXPECT_EQ(weights.masked_select(~mask.view({2, 1, 1, 9})).abs().max().item<float>(), 0);
    const AttentionRecorder some(*layer, {.queries = {7, 2}});
    performer_attention(q, k, v, orthogonal_directions(8, 3), args);
    EXPECT_EQ(some.maps().at(0).weights.sizes(), at::IntArrayRef({2, 2, 2, 9}));
    linear_attention(q, k, v, args);
    EXPECT_LE(relative_error(some.maps().at(1).weights, weights.index_select(2, at::tensor({7, 2}))), 1e-6);
    const AttentionRecorder graded(*layer, {.queries = {7, 2}, .gradients = true});
    const auto grad = at::randn_like(plain);
    linear_attention(q.clone().requires_grad_(true), k, v, args).backward(grad);
    expect_gradient_of_weights(graded.maps().at(0), grad, v * mask.view({2, 1, 9, 1}));
  }
}

TEST(LinearAttention, CostIsLinearAndMaskedNaNHasNoEffect) {
  for (const bool causal : {false, true}) {
    expect_growth(4, [&](int64_t N) {
      const auto x = at::rand({1, 1, N, 8});
      linear_attention(x, x, x, {.causal = causal});
    });
  }
  at::manual_seed(4);
  const auto q = at::randn({1, 1, 6, 3});
  auto k = at::randn({1, 1, 6, 3}), v = at::randn({1, 1, 6, 3});
  const auto mask = at::arange(6).ne(2).unsqueeze(0);
  const auto plain = linear_attention(q, k, v, {.causal = true, .key_mask = mask});
  k.select(2, 2).fill_(NAN);
  v.select(2, 2).fill_(NAN);
  EXPECT_TRUE(at::equal(linear_attention(q, k, v, {.causal = true, .key_mask = mask}), plain));
  EXPECT_THAT(error_of([&] { linear_attention(q, k.narrow(2, 0, 5), v.narrow(2, 0, 5), {.causal = true}); }),
              AllOf(StartsWith("3: "), HasSubstr("N = M"), HasSubstr("[1,1,5,3]")));
  EXPECT_THAT(error_of([&] { linear_attention(q, k, v, {.key_mask = at::ones({1, 6})}); }), HasSubstr("key_mask"));
}

TEST(Performer, DirectionsAreOrthogonalAndAsLongAsNormalVectors) {
  at::manual_seed(5);
  const auto directions = orthogonal_directions(8 * 500, 8).to(at::kDouble).view({500, 8, 8});
  const auto products = at::matmul(directions, directions.transpose(1, 2));
  const auto lengths = products.diagonal(0, 1, 2);
  EXPECT_LE((products - at::diag_embed(lengths)).abs().max().item<double>(), 1e-4);
  EXPECT_NEAR(lengths.mean().item<double>(), 8, 0.3);  // E|ω|² = d
  EXPECT_NEAR(directions.mean().item<double>(), 0, 0.02);
  EXPECT_EQ(orthogonal_directions(5, 3).sizes(), at::IntArrayRef({5, 3}));
}

TEST(Performer, KernelEstimateIsUnbiased) {
  at::manual_seed(6);
  const auto x = at::randn({1, 6}, kWide) * 0.5, y = at::randn({1, 6}, kWide) * 0.5;
  const double exact = std::exp(dot(row(x[0]), row(y[0])));
  std::vector<double> estimates;
  for (int i = 0; i < 4000; ++i) {
    const auto directions = orthogonal_directions(6, 6);
    estimates.push_back(at::matmul(favor_features(x, directions), favor_features(y, directions).t()).item<double>());
  }
  const auto all = at::tensor(estimates, kWide);
  const double error = std::sqrt(all.var().item<double>() / 4000);
  EXPECT_LE(std::abs(all.mean().item<double>() - exact), 3 * error) << all.mean().item<double>() << " " << exact;
  EXPECT_LT(error, 0.05 * exact);
}

// The median error of many draws, which a single unlucky one does not move.
TEST(Performer, ErrorFallsAsOneOverTheRootOfTheFeatures) {
  at::manual_seed(7);
  const auto q = at::randn({1, 1, 20, 8}, kWide) / 3, k = at::randn({1, 1, 20, 8}, kWide) / 3;
  const auto v = at::randn({1, 1, 20, 4}, kWide);
  const auto exact = oracle_attention({.q = q, .k = k, .v = v, .scale = 1 / std::sqrt(8.0)});
  Vector errors;
  for (const int64_t features : {64, 256, 1024, 4096}) {
    Vector draws;
    for (int i = 0; i < 41; ++i) {
      const auto got = performer_attention(q, k, v, orthogonal_directions(features, 8));
      draws.push_back((got - exact).square().mean().sqrt().item<double>());
    }
    std::nth_element(draws.begin(), draws.begin() + 20, draws.end());
    errors.push_back(draws[20]);
  }
  for (size_t i = 1; i < errors.size(); ++i) EXPECT_NEAR(errors[i - 1] / errors[i], 2, 0.6) << errors[i];
  EXPECT_NEAR(errors.front() / errors.back(), 8, 2);
  EXPECT_LT(errors.back(), 0.01);
}

TEST(Performer, IsKernelAttentionOfItsFeaturesWithGradients) {
  at::manual_seed(8);
  const auto q = at::randn({2, 2, 9, 4}, kWide), k = at::randn({2, 2, 9, 4}, kWide), v = at::randn({2, 2, 9, 3}, kWide);
  const auto directions = orthogonal_directions(10, 4);
  const double root = std::pow(4.0, -0.25);
  for (const bool causal : {false, true}) {
    const auto plain = kernel_attention(favor_features(q * root, directions), favor_features(k * root, directions), v,
                                        {.causal = causal, .eps = 0});
    const auto got = performer_attention(q, k, v, directions, {.causal = causal, .eps = 0});
    EXPECT_LE(relative_error(got, plain), 1e-10);
    const auto f = [&](const auto& in) {
      return performer_attention(in[0], in[1], in[2], directions, {.causal = causal, .eps = 0});
    };
    EXPECT_LE(gradient_error(f, {q, k, v}), 1e-5);
  }
  // Exponents far outside of what exp can hold.
  EXPECT_TRUE(at::isfinite(performer_attention(q * 60, k * 60, v, directions)).all().item<bool>());
  EXPECT_THAT(error_of([&] { performer_attention(q, k, v, at::zeros({10, 3})); }), HasSubstr("[10,3]"));
  EXPECT_THAT(error_of([&] { favor_features(q, at::zeros({10, 3})); }), HasSubstr("[10,3]"));
}

TEST(Linformer, ProjectsKeysAndValuesAndLeavesOutWhatIsMissing) {
  at::manual_seed(9);
  for (const bool shared : {false, true}) {
    Linformer layer({.tokens = 12, .projected = 5, .shared = shared});
    layer->to(at::kDouble);
    const auto q = at::randn({2, 2, 4, 3}, kWide), k = at::randn({2, 2, 9, 3}, kWide),
               v = at::randn({2, 2, 9, 3}, kWide);
    const auto mask = at::arange(9).ne(4).expand({2, 9});
    const auto by = [&](const at::Tensor& projection, const at::Tensor& t) {
      auto out = at::zeros({2, 2, 5, 3}, kWide);
      for (int64_t p = 0; p < 5; ++p) {
        for (int64_t j = 0; j < 9; ++j) {
          if (j != 4) out.select(2, p) += projection[p][j] * t.select(2, j);
        }
      }
      return out.detach();
    };
    const auto expected = oracle_attention(
        {.q = q, .k = by(layer->E, k), .v = by(shared ? layer->E : layer->F, v), .scale = 1 / std::sqrt(3.0)});
    EXPECT_LE(relative_error(layer->forward(q, k, v, mask), expected), 1e-12);
    auto leaves = layer->parameters();
    EXPECT_EQ(leaves.size(), shared ? 1 : 2);
    for (const auto& t : {q, k, v}) leaves.push_back(t.clone().requires_grad_(true));
    const size_t n = leaves.size();
    EXPECT_LE(
        leaf_gradient_error([&] { return layer->forward(leaves[n - 3], leaves[n - 2], leaves[n - 1], mask); }, leaves),
        1e-5);
    EXPECT_THAT(error_of([&] {
                  layer->forward(q, at::zeros({2, 2, 13, 3}, kWide), at::zeros({2, 2, 13, 3}, kWide));
                }),
                AllOf(StartsWith("3: "), HasSubstr("[2,2,13,3]")));
  }
  EXPECT_THAT(error_of([] { Linformer({.tokens = 4}); }), StartsWith("2: "));
}

TEST(Linformer, CostIsLinear) {
  const at::NoGradGuard no_grad;
  for (const int64_t N : {256, 1024, 4096, 16384}) {
    Linformer layer({.tokens = N, .projected = 16});
    layer->to(at::kHalf);  // of which every product is counted: no kernel of ours computes it
    const auto x = at::rand({1, 1, N, 8}, at::kHalf);
    const MultiplyAdds counted;
    layer->forward(x, x, x);
    EXPECT_EQ(counted.count(), 2 * N * 16 * 8 + 2 * 16 * N * 8);  // the projections, and scores and mean
  }
}

}  // namespace
}  // namespace fovea::testing
