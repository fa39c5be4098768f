#include "fovea/modules/attention/additive.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <random>

#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/support/gradcheck.h"

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
  bool relu = false;  // in place of tanh
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
      std::vector<double> scores(M, -INFINITY), weights(M, 0);
      double sum = 0, top = -1e300;
      for (int64_t j = 0; j < M; ++j) {
        if (c.mask.defined() && !c.mask[c.mask.size(0) == 1 ? 0 : b][j].item<bool>()) continue;
        double score = 0;
        for (int64_t k = 0; k < A; ++k) {
          const double both =
              query.data_ptr<double>()[(b * N + i) * A + k] + keys.data_ptr<double>()[(kb * M + j) * A + k];
          score += v.data_ptr<double>()[k] * (c.relu ? std::max(both, 0.0) : std::tanh(both));
        }
        scores[j] = score;
        top = std::max(top, score);
      }
      for (int64_t j = 0; j < M; ++j) sum += weights[j] = std::exp(scores[j] - top);
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
  return additive_attention(c.query, c.keys, c.values, c.v, {.mask = c.mask, .backend = backend, .relu = c.relu});
}

TEST(AdditiveKernel, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    AdditiveCase c(seed);
    c.relu = seed % 5 == 0;
    const auto expected = additive_oracle(c);
    const auto got = run(c, "cpu"), plain = run(c, "reference");
    const auto bound = [&](const at::Tensor& formula, const at::Tensor& exact) {
      return std::max(2 * largest_error(formula, exact), error_floor(exact.to(c.query.scalar_type()), c.v.size(0)));
    };
    ASSERT_LE(largest_error(got.context, expected.context), bound(plain.context, expected.context)) << c.name;
    ASSERT_LE(largest_error(got.weights, expected.weights), bound(plain.weights, expected.weights)) << c.name;
  }
}

// The kernel has no gradients of relu: the formula takes it where autograd follows.
TEST(AdditiveKernel, LeavesGradientsOfReluToTheFormula) {
  AdditiveCase c(0);
  c.relu = true;
  const AdditiveAttentionArgs args{.mask = c.mask, .relu = true};
  EXPECT_TRUE(explain_additive_backend(c.query, c.keys, c.values, c.v, args).starts_with("cpu: runs"));
  c.keys.requires_grad_();
  EXPECT_TRUE(explain_additive_backend(c.query, c.keys, c.values, c.v, args).starts_with("cpu: gradients of relu"));
  run(c, "").context.sum().backward();
  EXPECT_EQ(c.keys.grad().sizes(), c.keys.sizes());
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

// The gradients of context and weights, both weighed by fixed numbers.
std::vector<at::Tensor> gradients(const AdditiveCase& c, at::ScalarType type, const char* backend) {
  AdditiveCase leaves = c;
  std::vector<at::Tensor> all;
  for (auto* t : {&leaves.query, &leaves.keys, &leaves.values, &leaves.v}) {
    all.push_back(*t = t->to(type).detach().requires_grad_());
  }
  const auto result = run(leaves, backend);
  const auto weighed = [&](const at::Tensor& t) {
    return (t * at::cos(at::arange(t.numel(), at::kDouble)).view(t.sizes()).to(type)).sum();
  };
  (weighed(result.context) + weighed(result.weights)).backward();
  std::vector<at::Tensor> grads;
  for (const auto& leaf : all) grads.push_back(leaf.grad());
  return grads;
}

TEST(AdditiveKernel, GradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const AdditiveCase c(seed + 50'000);
    const auto type = c.query.scalar_type();
    const auto expected = gradients(c, at::kDouble, "reference"), plain = gradients(c, type, "reference"),
               got = gradients(c, type, "cpu");
    for (size_t i = 0; i < got.size(); ++i) {
      const double bound = std::max(3 * largest_error(plain[i], expected[i]),
                                    3 * error_floor(expected[i].to(type), c.v.size(0) + c.values.size(2)));
      ASSERT_LE(largest_error(got[i], expected[i]), bound) << c.name << " gradient " << i;
    }
  }
}

TEST(AdditiveKernel, GradientsEqualCentralDifferences) {
  struct Shape {
    int64_t batch, shared, n, m, a, e;
    bool masked;
  };
  for (const auto& s : std::vector<Shape>{
           {1, 1, 1, 1, 1, 1, false}, {2, 2, 1, 5, 3, 2, true}, {3, 1, 2, 6, 9, 1, true}, {2, 2, 3, 2, 2, 9, false}}) {
    at::manual_seed(s.m);
    AdditiveCase c(0);
    c.mask = at::Tensor();
    if (s.masked) {
      c.mask = at::rand({s.batch, s.m}) > 0.4;
      c.mask.select(0, 0).fill_(false);  // a fully masked row
    }
    const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
    const auto f = [&](const std::vector<at::Tensor>& in) {
      c.query = in[0];
      c.keys = in[1];
      c.values = in[2];
      c.v = in[3];
      const auto result = run(c, "cpu");
      return at::cat({result.context.flatten(), result.weights.flatten()});
    };
    EXPECT_LE(gradient_error(
                  f, {draw({s.batch, s.n, s.a}), draw({s.shared, s.m, s.a}), draw({s.shared, s.m, s.e}), draw({s.a})}),
              1e-5)
        << s.m;
  }
}

TEST(AdditiveKernel, GradientsCanBeDifferentiatedAgain) {
  AdditiveCase c(0);
  c.mask = at::Tensor();
  at::manual_seed(4);
  const auto gradient_of = [&](const std::vector<at::Tensor>& in) {
    const at::AutoGradMode differentiate(true);
    c.query = in[0];
    c.keys = in[1];
    c.values = in[2];
    c.v = in[3];
    return torch::autograd::grad({run(c, "cpu").context.pow(3).sum()}, {in[1]}, {}, /*retain_graph=*/true,
                                 /*create_graph=*/true)[0];
  };
  const auto draw = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
  EXPECT_LE(gradient_error(gradient_of, {draw({1, 2, 3}), draw({1, 3, 3}), draw({1, 3, 2}), draw({3})}), 1e-5);
}

// Masked keys and values are not read on the way back either, and get no gradient.
TEST(AdditiveKernel, MaskedKeysHaveNoGradient) {
  AdditiveCase c(3);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    c.query = at::randn({2, 2, 40}).to(type);
    c.keys = at::randn({2, 9, 40}).to(type);
    c.values = at::randn({2, 9, 111}).to(type);
    c.v = at::randn({40}).to(type);
    c.mask = (at::arange(9) < 7).view({1, 9});
    const auto expected = gradients(c, type, "cpu");
    c.keys.narrow(1, 7, 2).fill_(NAN);
    c.values.narrow(1, 7, 2).fill_(INFINITY);
    const auto got = gradients(c, type, "cpu");
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], expected[i])) << i;
    for (const size_t i : {1, 2}) EXPECT_EQ(got[i].narrow(1, 7, 2).abs().max().item<double>(), 0);
  }
}

TEST(AdditiveKernel, RepeatsToTheBit) {
  const AdditiveCase c(6);
  EXPECT_TRUE(repeats([&] {
    const auto result = run(c, "cpu");
    auto all = gradients(c, c.query.scalar_type(), "cpu");
    all.push_back(result.context);
    all.push_back(result.weights);
    return all;
  }));
}

}  // namespace
}  // namespace fovea::testing
