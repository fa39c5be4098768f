// Sparse patterns and linear families, each with the growth its paper promises, from 256 to 16,384 tokens.
#include <gtest/gtest.h>

#include "fovea/modules/attention/hard.h"
#include "fovea/modules/attention/local.h"
#include "fovea/modules/mixing/attention_free.h"
#include "fovea/modules/mixing/mixture_of_experts.h"
#include "fovea/modules/sparse/linear_attention.h"
#include "fovea/modules/sparse/linformer.h"
#include "fovea/modules/sparse/perceiver.h"
#include "fovea/modules/sparse/sparse_attention.h"
#include "fovea/tests/claims/figure.h"
#include "fovea/tests/support/multiply_adds.h"

namespace fovea::testing {
namespace {

struct Row {
  const char* name;
  double factor;                     // of the multiply-adds when the tokens are four times as many
  std::function<void(int64_t)> run;  // with so many tokens
};

constexpr auto kCounted = at::kHalf;  // of attention too: no kernel of ours computes it

int64_t root(int64_t N) {
  return static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(N))));
}

void sparse(SparsityPattern pattern, int64_t block) {
  const auto x = at::zeros({1, 1, pattern.queries(), 8});
  sparse_attention(x, x, x, SparseLayout(std::move(pattern), block));
}

at::Tensor heads(int64_t N) {
  return at::rand({1, 1, N, 8});
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"sliding window", 4, [](int64_t N) { sparse(sliding_pattern(N, 32), 32); }},
      {"dilated window", 4, [](int64_t N) { sparse(sliding_pattern(N, 8, 4), 8); }},
      {"window and global tokens", 4,
       [](int64_t N) {
         sparse(sliding_pattern(N, 8) | global_pattern(N, {0, N / 2}), 8);
       }},
      {"random keys", 4, [](int64_t N) { sparse(random_pattern(N, 3, 1), 1); }},
      {"BigBird", 4, [](int64_t N) { sparse(big_bird_pattern(N, {.block = 8}), 8); }},
      {"grid neighbourhood", 4, [](int64_t N) { sparse(grid_pattern(N / 16, 16, 2), 16); }},
      {"strided, stride √N", 8, [](int64_t N) { sparse(strided_pattern(N, root(N)), 8); }},
      {"fixed, stride √N", 8, [](int64_t N) { sparse(fixed_pattern(N, root(N)), 8); }},
      {"linear", 4, [](int64_t N) { linear_attention(heads(N), heads(N), heads(N)); }},
      {"causal linear", 4, [](int64_t N) { linear_attention(heads(N), heads(N), heads(N), {.causal = true}); }},
      {"FAVOR+", 4, [](int64_t N) { performer_attention(heads(N), heads(N), heads(N), orthogonal_directions(16, 8)); }},
      {"Linformer", 4,
       [](int64_t N) {
         Linformer layer({.tokens = N, .projected = 16});
         layer->to(kCounted);
         const auto x = heads(N).to(kCounted);
         layer->forward(x, x, x);
       }},
      {"Perceiver", 4,
       [](int64_t N) {
         PerceiverEncoder layer({.latents = 4, .read = {.width = 8, .input_width = 8}});
         layer->to(kCounted);
         layer->forward(at::rand({1, N, 8}, kCounted));
       }},
      {"local-m", 4,
       [](int64_t N) {
         const auto x = at::rand({1, N, 8});
         LocalAttention({.score = {.query_width = 8, .key_width = 8}, .half_width = 4})->forward(x, x, x);
       }},
      {"AFT-simple", 4,
       [](int64_t N) {
         AttentionFree({.dim = 8})->forward(at::rand({1, N, 8}));
       }},
      {"mixture of experts", 4,
       [](int64_t N) {
         MixtureOfExperts({.features = 8, .hidden = 16, .experts = 4})->forward(at::rand({1, N, 8}));
       }},
  };
  return all;
}

TEST(Claim, EachFamilyGrowsAsItsPaperPromises) {
  const at::NoGradGuard no_grad;
  for (const Row& row : rows()) {
    std::vector<double> costs;
    for (const int64_t N : {256, 1024, 4096, 16384}) {
      const MultiplyAdds counted;
      row.run(N);
      costs.push_back(static_cast<double>(counted.count()));
    }
    figure("{}: {:.2e} multiply-adds at 256 tokens, {:.2e} at 16,384", row.name, costs.front(), costs.back());
    for (size_t i = 1; i < costs.size(); ++i) {
      EXPECT_NEAR(costs[i] / costs[i - 1], row.factor, 0.2 * row.factor) << row.name << " step " << i;
    }
  }
}

// Hard attention scores every key, but its values cost nothing: one row is read, not multiplied.
TEST(Claim, HardAttentionMultipliesNoValues) {
  const at::NoGradGuard no_grad;
  HardAttention hard({.score = {.query_width = 8, .key_width = 8}});
  hard->eval();
  for (const int64_t M : {256, 16384}) {
    const auto keys = at::rand({1, M, 8});
    const MultiplyAdds counted;
    hard->forward(at::rand({1, 1, 8}), keys, at::rand({1, M, 512}));
    EXPECT_EQ(counted.count(), M * 8);
  }
}

}  // namespace
}  // namespace fovea::testing
