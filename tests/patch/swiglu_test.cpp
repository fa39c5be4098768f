#include "fovea/modules/patch/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// Σ_j W2[i,j]·silu(a_j)·b_j + β_i in plain loops, a the first half of fc1 and b the second.
at::Tensor oracle(const at::Tensor& x, SwiGluImpl& layer) {
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble).contiguous(); };
  const auto in = wide(x), w1 = wide(layer.fc1->weight), b1 = wide(layer.fc1->bias), w2 = wide(layer.fc2->weight),
             b2 = wide(layer.fc2->bias);
  const int64_t hidden = w2.size(1), width = w2.size(0);
  auto out = at::zeros({in.size(0), width}, at::kDouble);
  const auto dot = [&](int64_t n, int64_t row) {
    double sum = b1[row].item<double>();
    for (int64_t k = 0; k < width; ++k) sum += in[n][k].item<double>() * w1[row][k].item<double>();
    return sum;
  };
  for (int64_t n = 0; n < in.size(0); ++n) {
    std::vector<double> gated(hidden);
    for (int64_t j = 0; j < hidden; ++j) {
      const double a = dot(n, j);
      gated[j] = a / (1 + std::exp(-a)) * dot(n, hidden + j);
    }
    for (int64_t i = 0; i < width; ++i) {
      double sum = b2[i].item<double>();
      for (int64_t j = 0; j < hidden; ++j) sum += w2[i][j].item<double>() * gated[j];
      out[n][i] = sum;
    }
  }
  return out;
}

TEST(SwiGlu, GatesWithItsFirstHalf) {
  at::manual_seed(1);
  SwiGlu layer({.features = 5, .hidden = 3});
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer->parameters()) parameter.normal_();
  const auto x = at::randn({4, 5});
  EXPECT_LE(relative_error(layer->forward(x), oracle(x, *layer)), tolerance(at::kFloat));
}

TEST(SwiGlu, Differentiates) {
  at::manual_seed(2);
  SwiGlu layer({.features = 3, .hidden = 2});
  EXPECT_LE(module_gradient_error(*layer, at::randn({2, 3}, at::kDouble)), 1e-5);
}

TEST(SwiGlu, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(SwiGlu(SwiGluOptions{.features = 0, .hidden = 2}), ErrorKind::usage, "features 0");
  EXPECT_ERROR(SwiGlu(SwiGluOptions{.features = 2}), ErrorKind::usage, "hidden 0");
  EXPECT_ERROR(SwiGlu(SwiGluOptions{.features = 2, .hidden = 2, .dropout = 1}), ErrorKind::usage, "dropout 1");
}

}  // namespace
}  // namespace fovea::testing
