// Latents that read inputs, and queries that read latents, against plain loops.
#include "fovea/modules/sparse/perceiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/sparse/growth.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::StartsWith;

Vector normed(const Vector& in, const LayerNorm& layer) {
  double mean = 0, variance = 0;
  for (const double v : in) mean += v / static_cast<double>(in.size());
  for (const double v : in) variance += (v - mean) * (v - mean) / static_cast<double>(in.size());
  Vector out;
  for (size_t i = 0; i < in.size(); ++i) {
    out.push_back((in[i] - mean) / std::sqrt(variance + 1e-5) * row(layer->weight)[i] + row(layer->bias)[i]);
  }
  return out;
}

Vector affine(const Linear& layer, const Vector& in) {
  return plus(times(layer->weight, in), row(layer->bias));
}

// One query against x [M,C].
Vector read_by_loops(const PerceiverReadImpl& read, const Vector& query, const at::Tensor& x) {
  const auto width = static_cast<size_t>(read.options.width), heads = static_cast<size_t>(read.options.heads);
  const size_t d = width / heads;
  const auto q = affine(read.attn->q, normed(query, read.norm_q));
  Vector mixed(width, 0);
  for (size_t first = 0; first < width; first += d) {
    double sum = 0;
    Vector part(d, 0);
    for (int64_t j = 0; j < x.size(0); ++j) {
      const auto in = normed(row(x[j]), read.norm_x);
      const auto k = affine(read.attn->k, in), v = affine(read.attn->v, in);
      double score = 0;
      for (size_t t = 0; t < d; ++t) score += q[first + t] * k[first + t] / std::sqrt(static_cast<double>(d));
      sum += std::exp(score);
      for (size_t t = 0; t < d; ++t) part[t] += std::exp(score) * v[first + t];
    }
    for (size_t t = 0; t < d; ++t) mixed[first + t] = part[t] / sum;
  }
  const auto y = plus(query, affine(read.attn->proj, mixed));
  auto hidden = affine(read.mlp->fc1, normed(y, read.norm_mlp));
  for (double& h : hidden) h = h / 2 * (1 + std::erf(h / std::sqrt(2.0)));
  return plus(y, affine(read.mlp->fc2, hidden));
}

template <typename Layer>
void draw_parameters(Layer layer) {
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_(0, 0.5);
}

TEST(Perceiver, ReadsByTheFormulaWithAnyNumberOfInputs) {
  at::manual_seed(10);
  PerceiverEncoder encoder({.latents = 3, .read = {.width = 4, .input_width = 5, .heads = 2, .mlp_ratio = 2}});
  draw_parameters(encoder);
  for (const int64_t M : {2, 7}) {
    const auto x = at::randn({2, M, 5}, kWide);
    const auto mask = at::arange(M).ne(M - 1).expand({2, M});
    const auto got = encoder->forward(x, mask);
    ASSERT_EQ(got.sizes(), at::IntArrayRef({2, 3, 4}));
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t l = 0; l < 3; ++l) {
        const auto expected = read_by_loops(*encoder->read, row(encoder->latents[l]), x[b].narrow(0, 0, M - 1));
        for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(row(got[b][l])[i], expected[i], 1e-10);
      }
    }
    encoder->zero_grad();
    auto leaves = encoder->parameters();
    leaves.push_back(x.clone().requires_grad_(true));
    EXPECT_LE(leaf_gradient_error([&] { return encoder->forward(leaves.back(), mask); }, leaves), 1e-5);
  }
}

TEST(Perceiver, QueriesOfAnyNumberReadTheLatents) {
  at::manual_seed(11);
  PerceiverRead decoder({.width = 6, .input_width = 4, .heads = 3});
  draw_parameters(decoder);
  const auto latents = at::randn({2, 3, 4}, kWide);
  for (const int64_t N : {1, 11}) {
    const auto queries = at::randn({2, N, 6}, kWide);
    AttentionRecorder recorder(*decoder);
    const auto got = decoder->forward(queries, latents);
    EXPECT_EQ(recorder.maps().at(0).weights.sizes(), at::IntArrayRef({2, 3, N, 3}));
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t n = 0; n < N; ++n) {
        const auto expected = read_by_loops(*decoder, row(queries[b][n]), latents[b]);
        for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(row(got[b][n])[i], expected[i], 1e-10);
      }
    }
  }
  auto leaves = decoder->parameters();
  for (const auto& t : {at::randn({2, 5, 6}, kWide), latents}) leaves.push_back(t.clone().requires_grad_(true));
  const size_t n = leaves.size();
  EXPECT_LE(leaf_gradient_error([&] { return decoder->forward(leaves[n - 2], leaves[n - 1]); }, leaves), 1e-5);
}

// Self attention answers each input at its place; latents answer as a set, however many inputs there are.
TEST(Perceiver, TheOrderOfInputsDoesNotMatter) {
  at::manual_seed(12);
  PerceiverEncoder encoder({.latents = 3, .read = {.width = 4, .input_width = 5}});
  draw_parameters(encoder);
  const auto x = at::randn({2, 9, 5}, kWide);
  EXPECT_LE(relative_error(encoder->forward(x.index_select(1, at::randperm(9))), encoder->forward(x)), 1e-12);
}

TEST(Perceiver, RefusesWhatDoesNotFit) {
  PerceiverEncoder encoder({.latents = 3, .read = {.width = 4, .input_width = 5}});
  EXPECT_THAT(error_of([&] { encoder->forward(at::zeros({2, 7, 4})); }), HasSubstr("[2,7,4]"));
  EXPECT_THAT(error_of([&] { encoder->forward(at::zeros({7, 5})); }), HasSubstr("[7,5]"));
  EXPECT_THAT(error_of([&] {
                encoder->read->forward(at::zeros({1, 3, 4}), at::zeros({2, 7, 5}));
              }),
              HasSubstr("[1,3,4]"));
  EXPECT_THAT(error_of([] { PerceiverEncoder({.read = {.width = 4, .input_width = 5}}); }), HasSubstr("latents 0"));
  EXPECT_THAT(error_of([] { PerceiverRead({.width = 4}); }), StartsWith("2: "));
}

TEST(Perceiver, CostIsLinearInInputsAndInQueries) {
  PerceiverEncoder encoder({.latents = 4, .read = {.width = 8, .input_width = 8}});
  PerceiverRead decoder({.width = 8, .input_width = 8});
  const auto drawn = [&](int64_t N) { return at::rand({1, N, 8}, encoder->latents.options().requires_grad(false)); };
  const auto write = [&](int64_t N) { return decoder->forward(drawn(N), drawn(4)); };
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { encoder->forward(drawn(N)).sum().backward(); }), Each(Lt(4.1)));
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { write(N).sum().backward(); }), Each(Lt(4.1)));
  const at::NoGradGuard no_grad;
  encoder->to(at::kHalf);  // of which every product is counted: no kernel of ours computes it
  decoder->to(at::kHalf);
  expect_growth(4, [&](int64_t N) { encoder->forward(drawn(N)); });
  expect_growth(4, write);
}

}  // namespace
}  // namespace fovea::testing
