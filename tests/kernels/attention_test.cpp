#include "fovea/modules/attention/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "fovea/tests/attention/cases.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kDouble};

at::Tensor run(const RandomCase& c, const char* backend) {
  auto args = c.args;
  args.backend = backend;
  return attention(c.q, c.k, c.v, args);
}

TEST(AttentionKernel, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(240); ++seed) {
    const auto type = kTypes[seed % 3];
    const auto c = random_case(seed, type);
    auto bias = four(c.args.bias);
    if (bias.defined()) bias = bias.to(type);  // the core adds it in the type of q
    const auto expected = oracle_attention(
        {.q = c.q, .k = c.k, .v = c.v, .allowed = allowed_by(c.q, c.k, c.args), .bias = bias, .scale = scale_of(c)});
    const double bound = std::max(2 * largest_error(run(c, "reference"), expected), core_floor(c, expected));
    ASSERT_LE(largest_error(run(c, "cpu"), expected), bound) << c.name << " " << toString(type);
  }
}

// Gradients in float32 and bfloat16 against the readable formula in float64 on the same rounded inputs.
TEST(AttentionKernel, GradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    const auto type = kTypes[seed % 3];
    const auto c = random_case(seed + 1'000'000, type);
    if (c.q.abs().max().item<double>() > 20) continue;  // a softmax of one key: every gradient is rounding
    const auto gradients = [&](at::ScalarType computed, const char* backend) {
      auto args = c.args;
      args.backend = backend;
      std::vector<at::Tensor> leaves;
      for (const auto& t : {c.q, c.k, c.v}) leaves.push_back(t.to(computed).detach().requires_grad_());
      if (args.bias.defined()) leaves.push_back(args.bias = args.bias.to(type).to(computed).requires_grad_());
      const auto out = attention(leaves[0], leaves[1], leaves[2], args);
      const auto weights = at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes());
      (out * weights.to(computed)).sum().backward();
      std::vector<at::Tensor> grads;
      for (const auto& leaf : leaves) grads.push_back(leaf.grad());
      return grads;
    };
    const auto expected = gradients(at::kDouble, "reference"), plain = gradients(type, "reference"),
               got = gradients(type, "cpu");
    for (size_t i = 0; i < got.size(); ++i) {
      const double bound = std::max(3 * largest_error(plain[i], expected[i]),
                                    3 * error_floor(expected[i].to(type), c.q.size(3) + c.k.size(2)));
      ASSERT_LE(largest_error(got[i], expected[i]), bound) << c.name << " " << toString(type) << " gradient " << i;
    }
  }
}

// Steps of decoding, which pack nothing, and one row more, which does; the gradient reads log Σ exp.
TEST(AttentionKernel, FewRowsEqualTheFormula) {
  for (const auto type : kTypes) {
    for (int64_t n = 1; n <= 7; ++n) {
      for (const int64_t m : {1, 15, 16, 17, 196, 300}) {
        at::manual_seed(n * m);
        // Heads are views of one projection; two of them share keys.
        const auto q = at::randn({2, n, 4, 64}).to(type).transpose(1, 2),
                   kv = at::randn({2, m, 3, 2, 32}).to(type).permute({2, 0, 3, 1, 4});
        const auto k = at::cat({kv[0], kv[1]}, -1), v = at::randn({2, m, 2, 16}).to(type).transpose(1, 2);
        const auto results = [&](at::ScalarType computed, const char* backend) {
          std::vector<at::Tensor> leaves;
          for (const auto& t : {q, k, v}) leaves.push_back(t.to(computed).detach().requires_grad_());
          const auto out = attention(leaves[0], leaves[1], leaves[2], {.backend = backend});
          out.sum().backward();
          return std::vector<at::Tensor>{out.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
        };
        const auto expected = results(at::kDouble, "reference"), plain = results(type, "reference"),
                   got = results(type, "cpu");
        for (size_t i = 0; i < got.size(); ++i) {
          const double bound =
              std::max(3 * largest_error(plain[i], expected[i]), 3 * error_floor(expected[i].to(type), 64));
          ASSERT_LE(largest_error(got[i], expected[i]), bound) << n << "x" << m << " " << toString(type) << " " << i;
        }
      }
    }
  }
}

TEST(AttentionKernel, GradientsEqualCentralDifferences) {
  struct Shape {
    int64_t n, m, key_heads, group, d, e;
    bool causal;
    std::vector<int64_t> bias;
  };
  for (const auto& s : std::vector<Shape>{{3, 4, 1, 1, 3, 2, false, {}},
                                          {5, 5, 2, 2, 2, 3, true, {2, 4, 5, 5}},
                                          {1, 7, 2, 1, 9, 1, false, {1, 2, 1, 7}},
                                          {6, 2, 1, 3, 1, 9, false, {2, 1, 6, 2}},
                                          {2, 3, 4, 2, 3, 3, true, {1, 1, 2, 3}},
                                          {17, 5, 1, 1, 2, 2, false, {1, 1, 1, 5}}}) {
    at::manual_seed(s.n);
    auto mask = at::rand({s.n, s.m}) > 0.3;
    mask.select(0, 0).fill_(false);  // a fully masked row
    const auto options = at::TensorOptions(at::kDouble);
    std::vector<at::Tensor> inputs = {at::randn({2, s.key_heads * s.group, s.n, s.d}, options),
                                      at::randn({2, s.key_heads, s.m, s.d}, options),
                                      at::randn({2, s.key_heads, s.m, s.e}, options)};
    if (!s.bias.empty()) inputs.push_back(at::randn(s.bias, options));
    const auto f = [&](const std::vector<at::Tensor>& in) {
      return attention(
          in[0], in[1], in[2],
          {.mask = mask, .bias = in.size() > 3 ? in[3] : at::Tensor(), .causal = s.causal, .backend = "cpu"});
    };
    EXPECT_LE(gradient_error(f, inputs), 1e-5) << s.n << "x" << s.m;
  }
}

TEST(AttentionKernel, GradientsCanBeDifferentiatedAgain) {
  at::manual_seed(3);
  const auto options = at::TensorOptions(at::kDouble);
  const auto gradient_of = [](const std::vector<at::Tensor>& in) {
    const at::AutoGradMode differentiate(true);
    const auto out = attention(in[0], in[1], in[1], {.bias = in[2], .backend = "cpu"});
    return torch::autograd::grad({out.pow(3).sum()}, {in[0]}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
  };
  EXPECT_LE(gradient_error(gradient_of, {at::randn({1, 2, 3, 2}, options), at::randn({1, 2, 4, 2}, options),
                                         at::randn({3, 4}, options)}),
            1e-5);
}

TEST(AttentionKernel, NaNAndInfinityBeyondTheLengthChangeNoBit) {
  at::manual_seed(4);
  for (const auto type : kTypes) {
    for (const int64_t m : {6, 50, 300}) {
      const auto q = at::randn({2, 2, 9, 40}).to(type), k = at::randn({2, 2, m, 40}).to(type),
                 v = at::randn({2, 2, m, 111}).to(type);
      const auto outputs = [&](const at::Tensor& keys, const at::Tensor& values, const AttentionArgs& args) {
        std::vector<at::Tensor> leaves = {q.clone().requires_grad_(), keys.clone().requires_grad_(),
                                          values.clone().requires_grad_()};
        const auto out = attention(leaves[0], leaves[1], leaves[2], args);
        out.sum().backward();
        return std::vector<at::Tensor>{out.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
      };
      for (const int kind : {0, 1, 2}) {
        AttentionArgs args{.backend = "cpu"};
        const auto seen = (at::arange(m) < m - 2).view({1, m}).expand({9, m});
        if (kind == 0) args.key_lengths = at::full({2}, m - 2, at::kLong);
        if (kind == 1) args.mask = seen;
        if (kind == 2) args.bias = at::zeros({9, m}).masked_fill(~seen, -INFINITY);
        const auto expected = outputs(k, v, args);
        for (const double poison : {double(NAN), double(INFINITY)}) {
          auto wild_k = k.clone(), wild_v = v.clone();
          wild_k.narrow(2, m - 2, 2).fill_(poison);
          wild_v.narrow(2, m - 2, 2).fill_(poison);
          const auto got = outputs(wild_k, wild_v, args);
          for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], expected[i])) << m << " " << kind;
        }
      }
    }
  }
}

TEST(AttentionKernel, NaNThatIsSeenReachesTheOutput) {
  const auto x = at::randn({1, 1, 40, 8});
  for (const bool in_keys : {true, false}) {
    for (const bool masked : {true, false}) {
      auto wild = x.clone();
      wild[0][0][7][3] = NAN;
      AttentionArgs args{.causal = masked, .backend = "cpu"};
      const auto out = attention(x, in_keys ? wild : x, in_keys ? x : wild, args)[0][0];
      const auto is_nan = at::isnan(out).any(1);
      EXPECT_TRUE(is_nan.narrow(0, 7, 33).all().item<bool>());
      EXPECT_EQ(is_nan.narrow(0, 0, 7).any().item<bool>(), !masked);
    }
  }
  // A query of NaN that sees one key alone, all others masked.
  auto q = x.clone();
  q[0][0][0][0] = NAN;
  EXPECT_TRUE(at::isnan(attention(q, x, x, {.causal = true, .backend = "cpu"})[0][0][0]).all().item<bool>());
}

TEST(AttentionKernel, RepeatsToTheBit) {
  at::manual_seed(5);
  for (const auto type : kTypes) {
    const auto q = at::randn({2, 3, 70, 40}).to(type), k = at::randn({2, 3, 300, 40}).to(type),
               bias = at::randn({1, 3, 70, 300}).to(type);
    EXPECT_TRUE(repeats([&] {
      std::vector<at::Tensor> leaves;
      for (const auto& t : {q, k, bias}) leaves.push_back(t.detach().clone().requires_grad_());
      const auto out = attention(leaves[0], leaves[1], leaves[1], {.bias = leaves[2], .backend = "cpu"});
      out.sum().backward();
      return std::vector<at::Tensor>{out.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
    }));
  }
}

TEST(AttentionKernel, ManyHeadsAndSingles) {
  at::manual_seed(6);
  const auto q = at::randn({33'000, 2, 1, 3}), k = at::randn({33'000, 2, 2, 3});
  EXPECT_LE(relative_error(attention(q, k, k, {.backend = "cpu"}), attention(q, k, k, {.backend = "reference"})), 1e-5);
  const auto one = at::randn({1, 1, 1, 40});
  EXPECT_TRUE(at::equal(attention(one, one, one, {.backend = "cpu"}), one));
}

// Of forward and backward beyond the inputs, in sizes of q: a square of scores would be n/64 of them.
TEST(AttentionKernel, MemoryGrowsWithTheLengthAlone) {
  const int64_t n = case_count(1) > 1 ? 16'384 : 4096;
  auto q = at::randn({1, 1, n, 64}).requires_grad_();
  const double most = most_memory_of([&] { attention(q, q, q, {.backend = "cpu"}).sum().backward(); });
  EXPECT_LT(most, 20.0 * static_cast<double>(q.nbytes()));
}

TEST(AttentionKernel, SaysWhyItRefuses) {
  const auto x = at::randn({1, 1, 4, 8});
  const auto reason = [](const at::Tensor& q, const AttentionArgs& args) {
    const auto text = explain_backend(q, q, q, args);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(reason(x, {}), "cpu: runs");
  EXPECT_EQ(reason(x, {.dropout = 0.5}), "cpu: runs");
  EXPECT_EQ(reason(x, {.dropout = 0.5, .dropout_mode = DropoutMode::keys}), "cpu: dropout that does more than scale");
  EXPECT_EQ(reason(x.to(at::kHalf), {}), "cpu: neither float32, float64 nor bfloat16");
  EXPECT_EQ(reason(at::randn({1, 1, 2, 257}), {}), "cpu: head widths 257 and 257, over 256");
  EXPECT_EQ(reason(at::randn({0, 1, 2, 8}), {}), "cpu: a dimension is empty");
}

}  // namespace
}  // namespace fovea::testing
