#include "fovea/modules/patch/attention_pool.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/modules/attention/recorder.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

AttentionPool made() {
  at::manual_seed(1);
  AttentionPool layer({.dim = 6, .heads = 2, .mlp_ratio = 2});
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer->parameters()) parameter.add_(at::randn_like(parameter), 0.5);
  return layer;
}

// What the learned query makes of one head's tokens, in plain loops over scores.
TEST(AttentionPool, ReadsTokensByOneQuery) {
  auto layer = made();
  layer->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto x = at::randn({3, 5, 6}, at::kDouble);
  const AttentionRecorder recorder(*layer);
  const auto pooled = layer->forward(x);
  ASSERT_EQ(recorder.maps().size(), 1);
  for (int64_t b = 0; b < 3; ++b) {
    auto mixed = at::zeros({6}, at::kDouble);
    const auto query = at::mv(layer->q->weight, layer->latent.flatten()) + layer->q->bias;
    for (int64_t h = 0; h < 2; ++h) {
      std::vector<double> weights(5);
      double sum = 0;
      for (int64_t n = 0; n < 5; ++n) {
        double score = 0;
        for (int64_t c = 3 * h; c < 3 * h + 3; ++c) {
          score += (query[c] * (layer->kv->weight[c].dot(x[b][n]) + layer->kv->bias[c])).item<double>();
        }
        sum += weights[n] = std::exp(score / std::sqrt(3.0));
      }
      for (int64_t n = 0; n < 5; ++n) {
        EXPECT_NEAR(recorder.maps()[0].weights[b][h][0][n].item<double>(), weights[n] / sum, 1e-6);
        for (int64_t c = 3 * h; c < 3 * h + 3; ++c) {
          mixed[c] += weights[n] / sum * (layer->kv->weight[6 + c].dot(x[b][n]) + layer->kv->bias[6 + c]);
        }
      }
    }
    const auto y = at::mv(layer->proj->weight, mixed) + layer->proj->bias;
    const auto expected = y + layer->mlp->forward(layer->norm->forward(y));
    EXPECT_LE(relative_error(pooled[b], expected), tolerance(at::kDouble));
  }
}

TEST(AttentionPool, Differentiates) {
  auto layer = made();
  EXPECT_LE(module_gradient_error(*layer, at::randn({2, 4, 6}, at::kDouble)), 1e-5);
}

TEST(AttentionPool, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(AttentionPool(AttentionPoolOptions{.dim = 0, .heads = 1}), ErrorKind::usage, "dim 0");
  EXPECT_ERROR(AttentionPool(AttentionPoolOptions{.dim = 6, .heads = 4}), ErrorKind::usage, "not divisible by heads 4");
  EXPECT_ERROR(AttentionPool(AttentionPoolOptions{.dim = 6, .heads = 2, .mlp_ratio = 0}), ErrorKind::usage,
               "mlp_ratio 0");
  EXPECT_ERROR(made()->forward(at::zeros({2, 4, 5})), ErrorKind::data, "expected [B,N,6], got [2,4,5]");
}

}  // namespace
}  // namespace fovea::testing
