// Scans and state spaces against the same recurrence run step by step in plain loops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include <complex>

#include "fovea/modules/mixing/mamba.h"
#include "fovea/modules/mixing/s4.h"
#include "fovea/modules/mixing/scan.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(LinearScan, IsTheLoopForEveryLength) {
  at::manual_seed(1);
  for (const int64_t L : {1, 2, 3, 4, 5, 8, 13, 31, 32, 33}) {
    const auto a = at::rand({2, L, 3}, at::kDouble), b = at::randn({2, L, 3}, at::kDouble);
    const auto h = linear_scan(a, b);
    for (int64_t n = 0; n < 2; ++n) {
      Vector state(3, 0);
      for (int64_t t = 0; t < L; ++t) {
        const auto factor = row(a[n][t]), added = row(b[n][t]), got = row(h[n][t]);
        for (size_t c = 0; c < 3; ++c) {
          state[c] = factor[c] * state[c] + added[c];
          EXPECT_NEAR(got[c], state[c], 1e-12) << L << " " << t;
        }
      }
    }
    EXPECT_LE(gradient_error([](const auto& in) { return linear_scan(in[0], in[1]); }, {a, b}), 1e-6) << L;
  }
  EXPECT_EQ(linear_scan(at::zeros({2, 0, 3}), at::zeros({2, 0, 3})).sizes(), at::IntArrayRef({2, 0, 3}));
}

// The gradient of a gradient, by differences of the first one.
TEST(LinearScan, CanBeDifferentiatedTwice) {
  at::manual_seed(2);
  const auto f = [](const auto& in) {
    const at::AutoGradMode differentiate(true);
    const auto h = linear_scan(in[0], in[1]);
    return torch::autograd::grad({h.pow(3).sum()}, {in[0]}, {}, true, true)[0];
  };
  EXPECT_LE(gradient_error(f, {at::rand({1, 7, 2}, at::kDouble), at::randn({1, 7, 2}, at::kDouble)}), 1e-5);
}

TEST(LinearScan, WorkIsLinearAndRoundsAreFew) {
  EXPECT_THAT(growth_of_bytes([](int64_t L) {
                linear_scan(at::zeros({1, L, 4}), at::zeros({1, L, 4}));
              }),
              Each(AllOf(::testing::Gt(3.8), ::testing::Lt(4.2))));
  // A number that falls below what a float holds in the product of factors stays right, step by step.
  const auto a = at::full({1, 5000, 1}, 0.5), b = at::ones({1, 5000, 1});
  EXPECT_EQ(linear_scan(a, b)[0][4999].item<float>(), 2);
  EXPECT_THAT(error_of([] {
                linear_scan(at::zeros({1, 2}), at::zeros({1, 3}));
              }),
              AllOf(StartsWith("3: "), HasSubstr("[1,2]"), HasSubstr("[1,3]")));
  EXPECT_THAT(error_of([] {
                linear_scan(at::zeros({1, 2}, at::kLong), at::zeros({1, 2}, at::kLong));
              }),
              HasSubstr("Long"));
}

using Complex = std::complex<double>;

// GLU(W·gelu(y) + b).
Vector s4_output(const S4& layer, Vector y) {
  for (double& v : y) v = v / 2 * (1 + std::erf(v / std::sqrt(2.0)));
  const auto both = plus(times(layer->output_linear->weight, y), row(layer->output_linear->bias));
  Vector out(y.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = both[i] / (1 + std::exp(-both[i + out.size()]));
  return out;
}

TEST(S4, ConvolutionIsTheRecurrenceIsTheLoop) {
  at::manual_seed(3);
  S4 layer({.width = 3, .state = 6});
  layer->to(at::kDouble);
  for (const int64_t N : {1, 2, 17, 30}) {
    const auto x = at::randn({2, N, 3}, at::kDouble);
    const auto got = layer->forward(x);
    auto state = layer->start(2);
    for (int64_t b = 0; b < 2; ++b) {
      std::vector<std::array<Complex, 3>> h(3);
      for (int64_t t = 0; t < N; ++t) {
        Vector y(3);
        for (int64_t c = 0; c < 3; ++c) {
          const double dt = std::exp(layer->kernel->log_dt[c].item<double>()), u = x[b][t][c].item<double>();
          for (int64_t n = 0; n < 3; ++n) {
            const Complex a(-std::exp(layer->kernel->log_A_real[c][n].item<double>()),
                            layer->kernel->A_imag[c][n].item<double>());
            const auto weight = row(layer->kernel->C[c][n]);
            auto& held = h[static_cast<size_t>(c)][static_cast<size_t>(n)];
            held = std::exp(dt * a) * held + (std::exp(dt * a) - 1.0) / a * u;
            y[static_cast<size_t>(c)] += 2 * (Complex(weight[0], weight[1]) * held).real();
          }
          y[static_cast<size_t>(c)] += layer->D[c].item<double>() * u;
        }
        const auto expected = s4_output(layer, y);
        for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(row(got[b][t])[i], expected[i], 1e-11) << N << " " << t;
      }
    }
    for (int64_t t = 0; t < N; ++t) {
      EXPECT_LE(relative_error(layer->step(x.select(1, t), state), got.select(1, t)), 1e-10) << N << " " << t;
    }
  }
  EXPECT_LE(module_gradient_error(*layer, at::randn({1, 5, 3}, at::kDouble)), 1e-5);
}

TEST(S4, StartsStableSeesOnlyThePastAndGrowsLinearly) {
  at::manual_seed(4);
  S4 layer({.width = 4, .state = 8});
  const auto step = layer->kernel->step();
  EXPECT_LT(step.decay.abs().max().item<double>(), 1);
  const auto dt = at::exp(layer->kernel->log_dt);
  EXPECT_GE(dt.min().item<double>(), 1e-3 * 0.999);
  EXPECT_LE(dt.max().item<double>(), 1e-1 * 1.001);
  auto x = at::randn({1, 20, 4});
  const auto before = layer->forward(x);
  x[0][12] += 1;
  const auto after = layer->forward(x);
  EXPECT_LE((after - before).narrow(1, 0, 12).abs().max().item<double>(), 1e-5);
  EXPECT_GT((after - before).narrow(1, 12, 8).abs().amax(2).min().item<double>(), 1e-5);
  const at::NoGradGuard no_grad;
  EXPECT_THAT(growth_of_bytes([&](int64_t N) { layer->forward(at::zeros({1, N, 4})); }), Each(::testing::Lt(4.4)));
  EXPECT_THAT(error_of([] { S4({.width = 4, .state = 7}); }), AllOf(StartsWith("2: "), HasSubstr("state 7")));
  EXPECT_THAT(error_of([] { S4({.width = 4, .dt_min = 1, .dt_max = 0.1}); }), HasSubstr("dt_min"));
  EXPECT_THAT(error_of([&] { layer->forward(at::zeros({1, 5, 3})); }), AllOf(StartsWith("3: "), HasSubstr("[1,5,3]")));
  auto state = layer->start(2);
  EXPECT_THAT(error_of([&] { layer->step(at::zeros({1, 4}), state); }), HasSubstr("[2,4,4]"));
  layer->to(at::kBFloat16);
  EXPECT_THAT(error_of([&] { layer->forward(at::zeros({1, 5, 4}, at::kBFloat16)); }), HasSubstr("BFloat16"));
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}

TEST(Mamba, IsTheLoopAndGoesOnFromItsState) {
  at::manual_seed(5);
  Mamba layer({.width = 3, .expand = 2, .state = 2, .kernel = 3});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_(0, 0.5);
  const int64_t E = 6, L = 11;
  const auto x = at::randn({2, L, 3}, at::kDouble);
  const auto got = layer->forward(x);
  const auto product = [](const Linear& by, const Vector& in) {
    const auto out = times(by->weight, in);
    return by->bias.defined() ? plus(out, row(by->bias)) : out;
  };
  for (int64_t b = 0; b < 2; ++b) {
    std::vector<Vector> inputs(2, Vector(6, 0));  // of the convolution
    std::vector<Vector> h(6, Vector(2, 0));
    for (int64_t t = 0; t < L; ++t) {
      const auto both = product(layer->in_proj, row(x[b][t]));
      inputs.emplace_back(both.begin(), both.begin() + E);
      Vector u(6);
      for (int64_t c = 0; c < E; ++c) {
        double sum = layer->conv1d->bias[c].item<double>();
        for (int64_t i = 0; i < 3; ++i) {
          sum += layer->conv1d->weight[c][0][i].item<double>() *
                 inputs[static_cast<size_t>(t + i)][static_cast<size_t>(c)];
        }
        u[static_cast<size_t>(c)] = silu(sum);
      }
      const auto chosen = product(layer->x_proj, u);  // rank 1, B, C
      const auto delta = product(layer->dt_proj, {chosen[0]});
      Vector y(6);
      for (size_t c = 0; c < 6; ++c) {
        const double step = std::log1p(std::exp(delta[c]));
        for (size_t s = 0; s < 2; ++s) {
          const double a = -std::exp(layer->A_log[static_cast<int64_t>(c)][static_cast<int64_t>(s)].item<double>());
          h[c][s] = std::exp(step * a) * h[c][s] + step * u[c] * chosen[1 + s];
          y[c] += h[c][s] * chosen[3 + s];
        }
        y[c] = (y[c] + row(layer->D)[c] * u[c]) * silu(both[c + 6]);
      }
      const auto expected = product(layer->out_proj, y);
      for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(row(got[b][t])[i], expected[i], 1e-11) << b << " " << t;
    }
  }
  // In one piece, in pieces, and token by token.
  for (const std::vector<int64_t>& cuts : std::vector<std::vector<int64_t>>{{4, 7}, std::vector<int64_t>(L, 1)}) {
    auto state = layer->start(2);
    std::vector<at::Tensor> pieces;
    int64_t from = 0;
    for (const int64_t length : cuts) {
      pieces.push_back(layer->forward(x.narrow(1, from, length), state));
      from += length;
    }
    EXPECT_LE(relative_error(at::cat(pieces, 1), got), 1e-12);
  }
  EXPECT_LE(module_gradient_error(*layer, at::randn({1, 5, 3}, at::kDouble)), 1e-5);
}

// What plain attention and S4 cannot do in one layer without a query: forget what a token says to forget.
TEST(Mamba, ATokenDecidesHowMuchOfThePastStays) {
  const auto delta = [](double middle) {
    auto t = at::full({1, 3, 1}, 1.0, at::kDouble);
    t[0][1] = middle;
    return t;
  };
  const auto ones = at::ones({1, 3, 1}, at::kDouble);
  const auto x = at::tensor({5.0, 0.0, 0.0}, at::kDouble).view({1, 3, 1});
  const auto last = [&](double middle) {
    return selective_scan({x, delta(middle), -at::ones({1, 1}, at::kDouble), ones, ones}).y[0][2][0].item<double>();
  };
  EXPECT_NEAR(last(0), 5 * std::exp(-1.0), 1e-12);  // a step of no length keeps everything
  EXPECT_NEAR(last(40), 0, 1e-12);                  // a long one forgets
}

TEST(Mamba, StartsAsTheAuthorsDoAndGrowsLinearly) {
  Mamba layer({.width = 32});
  const auto keys = layer->named_parameters();
  for (const char* key : {"in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight",
                          "dt_proj.bias", "A_log", "D", "out_proj.weight"}) {
    EXPECT_TRUE(keys.contains(key)) << key;
  }
  EXPECT_EQ(keys.size(), 9);
  const auto dt = at::softplus(layer->dt_proj->bias);
  EXPECT_GE(dt.min().item<double>(), 1e-3 * 0.99);
  EXPECT_LE(dt.max().item<double>(), 1e-1 * 1.01);
  EXPECT_NEAR(layer->A_log[7][15].item<double>(), std::log(16.0), 1e-6);
  const at::NoGradGuard no_grad;
  Mamba small({.width = 4, .state = 2});
  EXPECT_THAT(growth_of_bytes([&](int64_t N) {
                small->forward(at::zeros({1, N, 4}));
              }),
              Each(AllOf(::testing::Gt(3.6), ::testing::Lt(4.2))));
  EXPECT_THAT(error_of([] { Mamba({.width = 4, .kernel = 0}); }), AllOf(StartsWith("2: "), HasSubstr("kernel 0")));
  EXPECT_THAT(error_of([&] { small->forward(at::zeros({1, 5, 3})); }), AllOf(StartsWith("3: "), HasSubstr("[1,5,3]")));
  auto state = small->start(2);
  EXPECT_THAT(error_of([&] { small->forward(at::zeros({1, 5, 4}), state); }), StartsWith("3: "));
  const auto t = at::zeros({1, 3, 2});
  EXPECT_THAT(error_of([&] { selective_scan({t, t, at::zeros({3, 2}), t, t}); }), HasSubstr("[3,2]"));
  EXPECT_THAT(error_of([&] {
                selective_scan({t, t, at::zeros({2, 2}), t, t}, at::zeros({2, 2}));
              }),
              HasSubstr("[1,2,2]"));
}

}  // namespace
}  // namespace fovea::testing
