#include "fovea/modules/inference/thin_product.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "fovea/tests/kernels/cases.h"

namespace fovea::testing {
namespace {

constexpr std::array kThinTypes = {at::kFloat, at::kBFloat16, at::kDouble};

struct ThinCase {
  explicit ThinCase(uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::vector<int64_t> from) { return from[random() % from.size()]; };
    at::manual_seed(static_cast<int64_t>(seed));
    type = kThinTypes[seed % 3];
    rows = pick({1, 2, 3, 4, 5, 6});
    width = pick({1, 3, 16, 33, 96, 130});
    state = pick({1, 2, 7, 16, 29, 64});
    outputs = pick({1, 2, 3, 5, 16, 63, 64, 67, 131});
    name = fmt::format("seed {} rows {} width {} state {} outputs {}", seed, rows, width, state, outputs);
  }

  // Rows that begin at any number and are further apart than they are wide.
  at::Tensor strided(int64_t count, int64_t columns) const {
    return at::randn({count, columns + 4}).to(type).narrow(1, 1, columns);
  }
  at::Tensor vector(int64_t count) const { return at::randn({count}).to(type); }

  at::ScalarType type;
  int64_t rows, width, state, outputs;
  std::string name;
};

// Σ_k x[r][k]·w[o][k] in plain loops of fp64.
at::Tensor product_of_loops(const at::Tensor& x, const at::Tensor& w) {
  const auto a = x.to(at::kDouble).contiguous(), b = w.to(at::kDouble).contiguous();
  const int64_t rows = a.size(0), outputs = b.size(0), width = a.size(1);
  const auto y = at::zeros({rows, outputs}, at::kDouble);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < width; ++k)
        sum += a.data_ptr<double>()[r * width + k] * b.data_ptr<double>()[o * width + k];
      y.data_ptr<double>()[r * outputs + o] = sum;
    }
  }
  return y;
}

TEST(ThinProduct, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    const ThinCase c(seed);
    const auto x = c.strided(c.rows, c.width), weight = c.strided(c.outputs, c.width);
    const auto bias = seed % 2 == 0 ? c.vector(c.outputs) : at::Tensor();
    ASSERT_TRUE(thin::runs({x, weight})) << c.name;
    const auto got = thin::product({x, weight}, bias);
    auto expected = product_of_loops(x, weight);
    if (bias.defined()) expected += bias.to(at::kDouble);
    ASSERT_EQ(got.scalar_type(), c.type);
    ASSERT_LE(largest_error(got, expected), error_floor(expected.to(c.type), c.width)) << c.name;
  }
}

TEST(ThinProduct, KeepsTheShapeOfWhatIsInFront) {
  at::manual_seed(1);
  const auto x = at::randn({2, 3, 10}), weight = at::randn({7, 10});
  EXPECT_EQ(thin::product({x, weight}, {}).sizes(), at::IntArrayRef({2, 3, 7}));
  EXPECT_TRUE(same_bits(thin::product({x, weight}, {}).view({6, 7}), thin::product({x.view({6, 10}), weight}, {})));
  EXPECT_EQ(thin::product({x[0][0], weight}, {}).sizes(), at::IntArrayRef({7}));
}

// The gates of torch's documentation.
TEST(ThinProduct, StepOfAnLstmEqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    const ThinCase c(seed);
    const auto x = c.strided(c.rows, c.width), h = c.strided(c.rows, c.state), memory = c.strided(c.rows, c.state),
               ih = c.strided(4 * c.state, c.width), hh = c.strided(4 * c.state, c.state), b_ih = c.vector(4 * c.state),
               b_hh = c.vector(4 * c.state);
    ASSERT_TRUE(thin::runs_lstm({x, ih}, {h, hh}, memory)) << c.name;
    const auto got = thin::lstm_step({x, ih}, {h, hh}, memory, b_ih, b_hh);
    const auto gates = product_of_loops(x, ih) + product_of_loops(h, hh) + b_ih.to(at::kDouble) + b_hh.to(at::kDouble);
    const auto expected_h = at::zeros({c.rows, c.state}, at::kDouble), expected_c = expected_h.clone();
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    for (int64_t r = 0; r < c.rows; ++r) {
      const auto gate = [&](int64_t g, int64_t u) { return gates[r][g * c.state + u].item<double>(); };
      for (int64_t u = 0; u < c.state; ++u) {
        const double next =
            sigmoid(gate(1, u)) * memory[r][u].item<double>() + sigmoid(gate(0, u)) * std::tanh(gate(2, u));
        expected_c[r][u] = next;
        expected_h[r][u] = sigmoid(gate(3, u)) * std::tanh(next);
      }
    }
    const auto bound = [&](const at::Tensor& exact) { return error_floor(exact.to(c.type), c.width + c.state); };
    ASSERT_LE(largest_error(got.memory, expected_c), bound(expected_c)) << c.name;
    ASSERT_LE(largest_error(got.hidden, expected_h), bound(expected_h)) << c.name;
  }
}

TEST(ThinProduct, SaturatesAndKeepsNaNInItsRow) {
  for (const auto type : kThinTypes) {
    const auto weight = at::ones({8, 3}).to(type), none = at::zeros({8, 2}).to(type), bias = at::zeros({8}).to(type);
    auto x = at::tensor({1e4, -1e4, NAN}).to(type).view({3, 1}).expand({3, 3});
    const auto state = at::zeros({3, 2}).to(type);
    const auto got = thin::lstm_step({x, weight}, {state, none}, state, bias, bias);
    EXPECT_LE(largest_error(got.memory.narrow(0, 0, 2), at::tensor({1.0, 1.0, 0.0, 0.0}).view({2, 2})), 1e-6);
    EXPECT_TRUE(at::isnan(got.hidden[2]).all().item<bool>());
    EXPECT_TRUE(at::isnan(thin::product({x, weight}, bias)[2]).all().item<bool>());
    EXPECT_FALSE(at::isnan(thin::product({x, weight}, bias)[1]).any().item<bool>());
  }
}

TEST(ThinProduct, RefusesManyRowsOtherTypesAndWhatAutogradFollows) {
  const auto x = at::randn({6, 5}), weight = at::randn({4, 5});
  EXPECT_TRUE(thin::runs({x, weight}));
  EXPECT_FALSE(thin::runs({at::randn({7, 5}), weight}));
  EXPECT_FALSE(thin::runs({at::randn({0, 5}), weight}));
  EXPECT_FALSE(thin::runs({at::randn({6, 4}), weight}));
  EXPECT_FALSE(thin::runs({x.to(at::kBFloat16), weight}));
  EXPECT_FALSE(thin::runs({x.to(at::kHalf), weight.to(at::kHalf)}));
  EXPECT_FALSE(thin::runs({x, weight.clone().requires_grad_()}));
  EXPECT_FALSE(thin::runs({x, at::randn({5, 4}).t()}));
  const auto ih = at::randn({12, 5}), hh = at::randn({12, 3}), state = at::randn({6, 3});
  EXPECT_TRUE(thin::runs_lstm({x, ih}, {state, hh}, state));
  EXPECT_FALSE(thin::runs_lstm({x, ih}, {state, hh}, at::randn({6, 4})));
  EXPECT_FALSE(thin::runs_lstm({x, ih}, {state, hh}, state.to(at::kDouble)));
  EXPECT_FALSE(thin::runs_lstm({x, ih}, {state, hh}, state.clone().requires_grad_()));
  EXPECT_FALSE(thin::runs_lstm({x.narrow(0, 0, 2), ih}, {state, hh}, state));
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(thin::runs({x, weight.clone().requires_grad_()}));
}

TEST(ThinProduct, RepeatsToTheBit) {
  const ThinCase c(4);
  const auto x = c.strided(5, 130), weight = c.strided(4 * 29, 130), h = c.strided(5, 29), hh = c.strided(4 * 29, 29),
             bias = c.vector(4 * 29);
  EXPECT_TRUE(repeats([&] {
    const auto next = thin::lstm_step({x, weight}, {h, hh}, h, bias, bias);
    return std::vector{thin::product({x, weight}, bias), next.hidden, next.memory};
  }));
}

}  // namespace
}  // namespace fovea::testing
