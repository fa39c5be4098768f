#include "fovea/modules/attention/additive.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <random>

#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/support/expect_error.h"

namespace fovea::testing {
namespace {

struct AdditiveCase {
  explicit AdditiveCase(uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::vector<int64_t> from) { return from[random() % from.size()]; };
    at::manual_seed(static_cast<int64_t>(seed));
    const auto type = std::array{at::kFloat, at::kBFloat16, at::kDouble}[seed % 3];
    const int64_t batch = pick({1, 2, 5}), shared = pick({0, 0, 1}) == 1 ? 1 : batch;
    const int64_t n = pick({1, 1, 3}), m = pick({1, 2, 7, 16, 49, 196}), a = pick({1, 3, 16, 40, 111, 128}),
                  e = pick({1, 2, 31, 40, 111, 256});
    query = at::randn({batch, n, a + 1}).to(type).narrow(2, 1, a);  // unaligned and strided
    keys = (at::randn({shared, m, a}) * (random() % 3 == 0 ? 8 : 1)).to(type);
    values = random() % 2 ? at::randn({shared, m, e}).to(type) : at::randn({shared, e, m}).to(type).transpose(1, 2);
    v = at::randn({a}).to(type);
    if (random() % 2) mask = at::rand({random() % 2 ? batch : 1, m}) > 0.4;
    name = fmt::format("seed {} B{} shared {} N{} M{} a{} e{}", seed, batch, shared, n, m, a, e);
  }

  at::Tensor query, keys, values, v, mask;
  std::string name;
};

struct AdditiveOracle {
  at::Tensor context, weights;
};

// Plain loops in fp64.
AdditiveOracle additive_oracle(const AdditiveCase& c) {
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble).contiguous(); };
  const auto query = wide(c.query), keys = wide(c.keys), values = wide(c.values), v = wide(c.v);
  const int64_t B = query.size(0), N = query.size(1), M = keys.size(1), A = v.size(0), E = values.size(2);
  AdditiveOracle result{at::zeros({B, N, E}, at::kDouble), at::zeros({B, N, M}, at::kDouble)};
  for (int64_t b = 0; b < B; ++b) {
    const int64_t kb = keys.size(0) == 1 ? 0 : b;
    for (int64_t i = 0; i < N; ++i) {
      std::vector<double> weights(M, 0);
      double sum = 0;
      for (int64_t j = 0; j < M; ++j) {
        if (c.mask.defined() && !c.mask[c.mask.size(0) == 1 ? 0 : b][j].item<bool>()) continue;
        double score = 0;
        for (int64_t k = 0; k < A; ++k) {
          score += v.data_ptr<double>()[k] * std::tanh(query.data_ptr<double>()[(b * N + i) * A + k] +
                                                       keys.data_ptr<double>()[(kb * M + j) * A + k]);
        }
        sum += weights[j] = std::exp(score);
      }
      for (int64_t j = 0; j < M; ++j) {
        if (weights[j] == 0) continue;
        const double w = weights[j] / sum;
        result.weights.data_ptr<double>()[(b * N + i) * M + j] = w;
        for (int64_t k = 0; k < E; ++k) {
          result.context.data_ptr<double>()[(b * N + i) * E + k] += w * values.data_ptr<double>()[(kb * M + j) * E + k];
        }
      }
    }
  }
  return result;
}

AdditiveAttentionResult run(const AdditiveCase& c, const char* backend) {
  return additive_attention(c.query, c.keys, c.values, c.v, {.mask = c.mask, .backend = backend});
}

TEST(AdditiveKernel, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const AdditiveCase c(seed);
    const auto expected = additive_oracle(c);
    const auto got = run(c, "cpu"), plain = run(c, "reference");
    const auto bound = [&](const at::Tensor& formula, const at::Tensor& exact) {
      return std::max(2 * largest_error(formula, exact), error_floor(exact.to(c.query.scalar_type()), c.v.size(0)));
    };
    ASSERT_LE(largest_error(got.context, expected.context), bound(plain.context, expected.context)) << c.name;
    ASSERT_LE(largest_error(got.weights, expected.weights), bound(plain.weights, expected.weights)) << c.name;
  }
}

TEST(AdditiveKernel, MaskedKeysAreNotReadAndNaNThatIsSeenStays) {
  AdditiveCase c(3);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    c.query = at::randn({2, 1, 40}).to(type);
    c.keys = at::randn({2, 9, 40}).to(type);
    c.values = at::randn({2, 9, 111}).to(type);
    c.v = at::randn({40}).to(type);
    c.mask = (at::arange(9) < 7).view({1, 9});
    const auto expected = run(c, "cpu");
    for (const double poison : {double(NAN), double(INFINITY)}) {
      auto wild = c;
      wild.keys = c.keys.clone();
      wild.values = c.values.clone();
      wild.keys.narrow(1, 7, 2).fill_(poison);
      wild.values.narrow(1, 7, 2).fill_(poison);
      EXPECT_TRUE(same_bits(run(wild, "cpu").context, expected.context));
      EXPECT_TRUE(same_bits(run(wild, "cpu").weights, expected.weights));
    }
    auto seen = c;
    seen.keys = c.keys.clone();
    seen.keys[0][3][5] = NAN;
    EXPECT_TRUE(at::isnan(run(seen, "cpu").context[0]).all().item<bool>());
    EXPECT_FALSE(at::isnan(run(seen, "cpu").context[1]).any().item<bool>());
  }
  c.mask = at::zeros({1, 9}, at::kBool);
  EXPECT_EQ(run(c, "cpu").context.abs().max().item<double>(), 0);
  EXPECT_EQ(run(c, "cpu").weights.abs().max().item<double>(), 0);
}

TEST(AdditiveKernel, RepeatsToTheBitAndRefusesGradients) {
  AdditiveCase c(6);
  EXPECT_TRUE(repeats([&] {
    const auto result = run(c, "cpu");
    return std::vector<at::Tensor>{result.context, result.weights};
  }));
  c.v.requires_grad_();
  EXPECT_ERROR(run(c, "cpu"), ErrorKind::usage, "cpu refuses: gradients");
  EXPECT_TRUE(run(c, "").context.requires_grad());
}

}  // namespace
}  // namespace fovea::testing
