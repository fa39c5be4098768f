// Dropout in the CPU's kernels: the same weights are left out in both passes, in every type and on every device, those
// that the paper's generator says.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "fovea/tests/attention/cases.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/simt/dropout_oracle.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

using kernels::testing::kept;

constexpr at::ScalarType kDroppedTypes[] = {at::kFloat, at::kBFloat16, at::kDouble};
constexpr double kDroppedShares[] = {0.1, 0.5, 0.9};

// The number that the next call draws where the generator starts from here.
uint64_t number_after(uint64_t start) {
  at::manual_seed(start);
  const auto number = at::empty({1}, at::kLong).random_().item<int64_t>();
  at::manual_seed(start);
  return static_cast<uint64_t>(number);
}

// [B,H,N,M]: what the weights are multiplied with.
at::Tensor factors(at::IntArrayRef sizes, double share, uint64_t seed) {
  auto all = at::empty(sizes, at::kDouble);
  double* to = all.data_ptr<double>();
  const auto N = static_cast<uint64_t>(sizes[2]), M = static_cast<uint64_t>(sizes[3]);
  for (uint64_t i = 0; i < static_cast<uint64_t>(all.numel()); ++i)
    to[i] = kept(share, {i / M % N, i % M, i / M / N}, 0, seed);
  return all;
}

TEST(AttentionDropout, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(240); ++seed) {
    const auto type = kDroppedTypes[seed % 3];
    auto c = random_case(seed + 3'000'000, type);
    if (c.q.abs().max().item<double>() > 20) continue;  // a softmax of one key
    c.args.dropout = kDroppedShares[seed / 3 % 3];
    c.args.backend = "cpu";
    auto bias = four(c.args.bias);
    if (bias.defined()) bias = bias.to(type);
    const int64_t B = c.q.size(0), H = c.q.size(1), N = c.q.size(2), K = c.k.size(1), M = c.k.size(2);
    const double scale = c.args.scale.value_or(1 / std::sqrt(static_cast<double>(c.q.size(3))));
    const auto weights = oracle_attention({.q = c.q,
                                           .k = c.k,
                                           .v = at::eye(M, at::kDouble).expand({B, K, M, M}),
                                           .allowed = allowed_by(c.q, c.k, c.args),
                                           .bias = bias,
                                           .scale = scale});
    const auto number = number_after(seed);
    const auto got = attention(c.q, c.k, c.v, c.args);
    const auto expected = at::matmul(weights * factors({B, H, N, M}, c.args.dropout, number),
                                     c.v.to(at::kDouble).repeat_interleave(H / K, 1));
    ASSERT_LE(largest_error(got, expected), error_floor(expected.to(type), c.q.size(3))) << c.name << toString(type);
  }
}

// Steps of decoding pack nothing; their beams are rows.
TEST(AttentionDropout, OfFewRowsEqualsLoops) {
  for (const auto type : kDroppedTypes) {
    for (const int64_t n : {1, 5}) {
      for (const int64_t m : {1, 31, 196}) {
        const auto q = at::randn({2, 4, n, 64}).to(type), k = at::randn({2, 2, m, 64}).to(type),
                   v = at::randn({2, 2, m, 16}).to(type);
        const auto weights =
            oracle_attention({.q = q, .k = k, .v = at::eye(m, at::kDouble).expand({2, 2, m, m}), .scale = 0.125});
        const auto number = number_after(5);
        const auto got = attention(q, k, v, {.dropout = 0.3, .backend = "cpu"});
        const auto expected =
            at::matmul(weights * factors({2, 4, n, m}, 0.3, number), v.to(at::kDouble).repeat_interleave(2, 1));
        EXPECT_LE(largest_error(got, expected), error_floor(expected.to(type), 64)) << n << "x" << m;
      }
    }
  }
}

TEST(AttentionDropout, GradientsEqualCentralDifferences) {
  struct Shape {
    int64_t n, m, key_heads, group;
    bool causal;
    std::vector<int64_t> bias;
  };
  for (const auto& s : std::vector<Shape>{{3, 4, 1, 1, false, {}},
                                          {19, 35, 1, 2, false, {1, 2, 1, 35}},
                                          {9, 33, 2, 1, true, {2, 1, 9, 33}},
                                          {1, 40, 1, 1, false, {1, 1, 1, 40}}}) {
    at::manual_seed(s.n);
    const auto options = at::TensorOptions(at::kDouble);
    std::vector<at::Tensor> inputs = {at::randn({2, s.key_heads * s.group, s.n, 3}, options),
                                      at::randn({2, s.key_heads, s.m, 3}, options),
                                      at::randn({2, s.key_heads, s.m, 2}, options)};
    if (!s.bias.empty()) inputs.push_back(at::randn(s.bias, options));
    const auto f = [&](const std::vector<at::Tensor>& in) {
      at::manual_seed(7);
      return attention(
          in[0], in[1], in[2],
          {.bias = in.size() > 3 ? in[3] : at::Tensor(), .causal = s.causal, .dropout = 0.4, .backend = "cpu"});
    };
    EXPECT_LE(gradient_error(f, inputs), 1e-5) << s.n << "x" << s.m;
  }
}

// Outputs and gradients of f, which draws the same every time.
std::vector<at::Tensor> results_of(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                                   std::vector<at::Tensor> leaves, at::ScalarType type) {
  for (auto& leaf : leaves) leaf = leaf.to(type).detach().requires_grad_();
  at::manual_seed(11);
  const auto out = f(leaves);
  (out * at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes()).to(type)).sum().backward();
  std::vector<at::Tensor> all = {out.detach()};
  for (const auto& leaf : leaves) all.push_back(leaf.grad());
  return all;
}

void expect_close_to_float64(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                             const std::vector<at::Tensor>& leaves, int64_t width, const std::string& name) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    auto rounded = leaves;
    for (auto& leaf : rounded) leaf = leaf.to(type);
    const auto got = results_of(f, rounded, type), exact = results_of(f, rounded, at::kDouble);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_LE(largest_error(got[i], exact[i]), 3 * error_floor(exact[i].to(type), width))
          << name << " " << toString(type) << " result " << i;
    }
  }
}

TEST(AttentionDropout, GradientsOfEveryTypeAreThoseOfFloat64) {
  for (const int64_t n : {2, 30, 100}) {
    for (const int64_t m : {50, 300}) {
      at::manual_seed(n + m);
      const auto f = [](const std::vector<at::Tensor>& in) {
        return attention(in[0], in[1], in[2], {.bias = in[3], .dropout = 0.3, .backend = "cpu"});
      };
      expect_close_to_float64(
          f, {at::randn({2, 4, n, 32}), at::randn({2, 2, m, 32}), at::randn({2, 2, m, 40}), at::randn({1, 4, n, m})},
          32 + m, fmt::format("{}x{}", n, m));
    }
  }
}

TEST(WindowDropout, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(90); ++seed) {
    WindowCase c(seed + 900);
    c.args.dropout = kDroppedShares[seed % 3];
    c.args.backend = "cpu";
    const auto number = number_after(seed);
    const auto got = window_attention(c.qkv, c.args);
    const auto expected =
        oracle(c.qkv, c.args, c.layout, [&](int64_t head, int64_t row, int64_t column) {
          return kept(c.args.dropout,
                      {static_cast<uint64_t>(row), static_cast<uint64_t>(column), static_cast<uint64_t>(head)}, 0,
                      number);
        }).output;
    const double bound = error_floor(expected.to(c.type), c.qkv.size(3) / 3 / c.args.heads);
    ASSERT_LE(largest_error(got, expected), 4 * bound) << seed << ": " << c.name();
  }
}

at::Tensor dropped_windows(const std::vector<at::Tensor>& in, std::array<int64_t, 2> window) {
  return window_attention(in[0], {.heads = 2,
                                  .window = window,
                                  .shift = {window[0] / 2, window[1] / 2},
                                  .bias_table = in[1],
                                  .bias_index = relative_position_index(window[0], window[1]),
                                  .pad_row = in[2],
                                  .dropout = 0.3,
                                  .backend = "cpu"});
}

TEST(WindowDropout, GradientsEqualCentralDifferences) {
  for (const auto& window : std::vector<std::array<int64_t, 2>>{{2, 2}, {3, 4}}) {
    at::manual_seed(window[1]);
    const int64_t offsets = (2 * window[0] - 1) * (2 * window[1] - 1);
    const auto f = [&](const std::vector<at::Tensor>& in) {
      at::manual_seed(7);
      return dropped_windows(in, window);
    };
    EXPECT_LE(gradient_error(f, {at::randn({2, 3, 5, 6}, at::kDouble), at::randn({offsets, 2}, at::kDouble),
                                 at::randn({6}, at::kDouble)}),
              1e-5);
  }
}

TEST(WindowDropout, GradientsOfEveryTypeAreThoseOfFloat64) {
  at::manual_seed(3);
  const auto f = [](const std::vector<at::Tensor>& in) { return dropped_windows(in, {7, 7}); };
  expect_close_to_float64(f, {at::randn({2, 12, 17, 3 * 2 * 32}), at::randn({169, 2}), at::randn({3 * 2 * 32})}, 81,
                          "windows");
}

// By the formula, with the weights that the kernel left out.
TEST(Dropout, GradientsCanBeDifferentiatedAgain) {
  at::manual_seed(3);
  const auto gradient = [](const auto& f, bool again) {
    return [f, again](const std::vector<at::Tensor>& in) {
      const at::AutoGradMode differentiate(true);
      at::manual_seed(7);
      return torch::autograd::grad({f(in).pow(3).sum()}, {in[0]}, {}, /*retain_graph=*/true, again)[0];
    };
  };
  const auto expect_both = [&](const auto& f, std::vector<at::Tensor> inputs) {
    EXPECT_LE(gradient_error(gradient(f, true), inputs), 1e-5);
    inputs[0].requires_grad_();
    EXPECT_LE(relative_error(gradient(f, true)(inputs), gradient(f, false)(inputs)), 1e-12);
  };
  expect_both([](const auto& in) { return attention(in[0], in[1], in[1], {.dropout = 0.4, .backend = "cpu"}); },
              {at::randn({2, 2, 3, 2}, at::kDouble), at::randn({2, 2, 4, 2}, at::kDouble)});
  expect_both(
      [](const auto& in) {
        return dropped_windows(in, {2, 2});
      },
      {at::randn({2, 3, 4, 6}, at::kDouble), at::randn({9, 2}, at::kDouble), at::randn({6}, at::kDouble)});
}

TEST(Dropout, RepeatsToTheBit) {
  for (const auto type : kDroppedTypes) {
    at::manual_seed(5);
    const auto q = at::randn({2, 3, 70, 40}), k = at::randn({2, 3, 300, 40}), bias = at::randn({1, 3, 1, 300}),
               qkv = at::randn({2, 9, 13, 3 * 2 * 16}), table = at::randn({169, 2}), pad = at::randn({3 * 2 * 16});
    const auto heads = [](const std::vector<at::Tensor>& in) {
      return attention(in[0], in[1], in[1], {.bias = in[2], .dropout = 0.3, .backend = "cpu"});
    };
    const auto windows = [](const std::vector<at::Tensor>& in) { return dropped_windows(in, {7, 7}); };
    EXPECT_TRUE(repeats([&] { return results_of(heads, {q, k, bias}, type); })) << toString(type);
    EXPECT_TRUE(repeats([&] { return results_of(windows, {qkv, table, pad}, type); })) << toString(type);
  }
}

}  // namespace
}  // namespace fovea::testing
