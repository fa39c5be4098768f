// What layers without scores hand to a recorder, against the matrix between each pair of tokens by plain loops in fp64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <complex>
#include <numbers>
#include <numeric>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/mixing/fourier_mixing.h"
#include "fovea/modules/mixing/mamba.h"
#include "fovea/modules/mixing/s4.h"
#include "fovea/modules/mixing/temporal_conv.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// M_ij of y_i = Σ_j M_ij·x_j in image b, by rows: E vectors of C numbers.
using PairMatrix = std::function<std::vector<Vector>(int64_t b, int64_t i, int64_t j)>;

std::vector<Vector> diagonal(const Vector& values) {
  std::vector<Vector> matrix(values.size(), Vector(values.size(), 0));
  for (size_t c = 0; c < values.size(); ++c) matrix[c][c] = values[c];
  return matrix;
}

struct Mixed {
  at::Tensor x;     // [B,N,C], what is mixed
  at::Tensor grad;  // [B,N,E], d(loss)/dy
  PairMatrix pair;
};

// Weights Σ|M_ij|/Σ_j Σ|M_ij|, and what makes weights ⊙ gradient = grad_i·M_ij·x_j.
void expect_map(const AttentionMap& map, const Mixed& mixed, const std::vector<int64_t>& rows) {
  const int64_t B = mixed.x.size(0), N = mixed.x.size(1), n = std::ssize(rows);
  EXPECT_EQ(map.kind, MapKind::tokens);
  ASSERT_EQ(map.weights.sizes(), at::IntArrayRef({B, 1, n, N}));
  ASSERT_EQ(map.gradient.sizes(), at::IntArrayRef({B, 1, n, N}));
  const double most = (map.weights * map.gradient).abs().max().item<double>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t row_index = 0; row_index < n; ++row_index) {
      const int64_t i = rows[row_index];
      const auto g = row(mixed.grad[b][i]), weights = row(map.weights[b][0][row_index]),
                 gradients = row(map.gradient[b][0][row_index]);
      Vector sizes, worths;
      double total = 0;
      for (int64_t j = 0; j < N; ++j) {
        const auto x = row(mixed.x[b][j]);
        double size = 0, worth = 0;
        const auto matrix = mixed.pair(b, i, j);
        for (size_t e = 0; e < matrix.size(); ++e) {
          for (const double factor : matrix[e]) size += std::abs(factor);
          worth += g[e] * dot(matrix[e], x);
        }
        sizes.push_back(size);
        worths.push_back(worth);
        total += size;
      }
      for (size_t j = 0; j < sizes.size(); ++j) {
        EXPECT_NEAR(weights[j], sizes[j] / total, 1e-6) << b << " " << i << " " << j;
        EXPECT_NEAR(weights[j] * gradients[j], worths[j], 1e-5 * most) << b << " " << i << " " << j;
      }
    }
  }
}

// What backward leaves in `grad` where y enters the loss as the layer makes it.
at::Tensor fixed_weights(const at::Tensor& y) {
  return at::cos(at::arange(1, y.numel() + 1, at::kDouble)).view(y.sizes());
}

TEST(MixingMap, OfFourierIsTheCosinesOfAllColumns) {
  at::manual_seed(1);
  const Linear caller({.in_features = 1, .out_features = 1});
  for (const auto& [N, D] : std::vector<std::pair<int64_t, int64_t>>{{6, 4}, {5, 7}, {1, 1}}) {
    const auto x = at::randn({2, N, D}, at::kDouble).requires_grad_(true);
    const auto plain = fourier_mixing(x);
    const AttentionRecorder recorder(*caller, {.queries = {N - 1, 0}, .gradients = true});
    const auto y = fourier_mixing(x, {.module = caller.get()});
    EXPECT_TRUE(at::equal(y, plain));
    (y * fixed_weights(y)).sum().backward();
    const auto cosines = [N = N, D = D](int64_t, int64_t a, int64_t j) {
      std::vector<Vector> matrix(D, Vector(D));
      for (int64_t b = 0; b < D; ++b) {
        for (int64_t k = 0; k < D; ++k) {
          const double turns =
              static_cast<double>(a * j) / static_cast<double>(N) + static_cast<double>(b * k) / static_cast<double>(D);
          matrix[b][k] = std::cos(2 * std::numbers::pi * turns);
        }
      }
      return matrix;
    };
    expect_map(recorder.maps().at(0), {x, fixed_weights(y), cosines}, {N - 1, 0});
  }
}

// One image, dense and depthwise, dilated, with a tap beyond the first token; also behind tokens that came before.
TEST(MixingMap, OfACausalConvolutionIsItsTaps) {
  for (const int64_t groups : {1, 2}) {
    at::manual_seed(2);
    CausalConv1d conv({.in_channels = 4, .out_channels = 6, .kernel = 3, .dilation = 3, .groups = groups});
    conv->to(at::kDouble);
    const auto taps = [&](int64_t, int64_t i, int64_t j) {
      std::vector<Vector> matrix(6, Vector(4, 0));
      if (i < j || (i - j) % 3 != 0 || i - j > 6) return matrix;
      for (int64_t out = 0; out < 6; ++out) {
        for (int64_t in = 0; in < 4 / groups; ++in) {
          const int64_t group = out / (6 / groups);
          matrix[out][group * (4 / groups) + in] = conv->weight[out][in][2 - (i - j) / 3].item<double>();
        }
      }
      return matrix;
    };
    for (const int64_t N : {8, 5}) {
      const auto x = at::randn({2, N, 4}, at::kDouble), before = at::randn({2, 6, 4}, at::kDouble);
      const auto plain = conv->forward(x);
      const AttentionRecorder recorder(*conv, {.gradients = true});
      const auto y = conv->forward(x), after = conv->forward(x, before);
      EXPECT_TRUE(at::equal(y, plain));
      ((y + after) * fixed_weights(y)).sum().backward();
      std::vector<int64_t> rows(N);
      std::iota(rows.begin(), rows.end(), 0);
      for (const auto& map : recorder.maps()) expect_map(map, {x, fixed_weights(y), taps}, rows);
      EXPECT_EQ(recorder.maps().size(), 2);
    }
  }
}

TEST(MixingMap, OfATemporalNetworkNamesItsConvolutions) {
  TemporalConv layer({.in_channels = 2, .channels = {3, 3}, .kernel = 2});
  const auto x = at::randn({1, 7, 2});
  const auto& conv = layer->network->blocks[1]->conv1;
  conv->weight_g.detach().copy_(at::tensor({1.0, 2.0, 3.0}).view({3, 1, 1}));
  const auto plain = layer->forward(x);
  const AttentionRecorder recorder(*layer);
  EXPECT_TRUE(at::equal(layer->forward(x), plain));
  std::vector<std::string> paths;
  for (const auto& map : recorder.maps()) {
    paths.push_back(map.path);
    EXPECT_FALSE(map.weights.requires_grad());
  }
  EXPECT_THAT(paths,
              ::testing::ElementsAre("network.0.conv1", "network.0.conv2", "network.1.conv1", "network.1.conv2"));
  // The taps with their norms, two tokens apart.
  Vector size(2, 0);
  for (int64_t out = 0; out < 3; ++out) {
    const auto v = row(conv->weight_v[out].flatten());  // tap by tap within an input
    const double scale = static_cast<double>(out + 1) / std::sqrt(dot(v, v));
    for (size_t i = 0; i < v.size(); ++i) size[i % 2] += std::abs(v[i]) * scale;
  }
  const auto last = row(recorder.maps()[2].weights[0][0][6]);
  for (size_t j = 0; j < 7; ++j) {
    EXPECT_NEAR(last[j], (j == 6 ? size[1] : j == 4 ? size[0] : 0) / (size[0] + size[1]), 1e-6);
  }
}

using Complex = std::complex<double>;

// K_l of a channel.
double response(const S4& layer, int64_t channel, int64_t l) {
  const double dt = std::exp(layer->kernel->log_dt[channel].item<double>());
  Complex sum = 0;
  for (int64_t n = 0; n < layer->options.state / 2; ++n) {
    const Complex a(-std::exp(layer->kernel->log_A_real[channel][n].item<double>()),
                    layer->kernel->A_imag[channel][n].item<double>());
    const auto c = row(layer->kernel->C[channel][n]);
    sum += Complex(c[0], c[1]) * (std::exp(dt * a) - 1.0) / a * std::exp(dt * a * static_cast<double>(l));
  }
  return 2 * sum.real();
}

TEST(MixingMap, OfS4IsItsImpulseResponse) {
  at::manual_seed(3);
  S4 layer({.width = 3, .state = 6, .dt_min = 0.05});
  layer->to(at::kDouble);
  constexpr int64_t N = 9;
  const auto x = at::randn({2, N, 3}, at::kDouble);
  const auto pair = [&](int64_t, int64_t i, int64_t j) {
    Vector factors(3, 0);
    for (int64_t c = 0; c < 3 && j <= i; ++c) {
      factors[c] = response(layer, c, i - j) + (i == j ? layer->D[c].item<double>() : 0);
    }
    return diagonal(factors);
  };
  // y by its pairs, and the gradient that comes back through what stands behind it.
  auto y = at::zeros({2, N, 3}, at::kDouble);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t i = 0; i < N; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        for (int64_t c = 0; c < 3; ++c) y[b][i][c] += pair(b, i, j)[c][c] * x[b][j][c];
      }
    }
  }
  y.requires_grad_(true);
  const auto behind = at::glu(at::linear(at::gelu(y), layer->output_linear->weight, layer->output_linear->bias), -1);
  const auto plain = layer->forward(x);
  EXPECT_LE(relative_error(plain, behind), 1e-10);
  (behind * fixed_weights(behind)).sum().backward();
  const AttentionRecorder recorder(*layer, {.layers = "", .queries = {8, 0, 3}, .gradients = true});
  const auto again = layer->forward(x);
  EXPECT_TRUE(at::equal(again, plain));
  (again * fixed_weights(again)).sum().backward();
  expect_map(recorder.maps().at(0), {x, y.grad(), pair}, {8, 0, 3});
}

struct Scanned {
  SelectiveScanInputs in;
  at::Tensor behind;  // silu(z), by which y is weighed
};

// The inputs of a layer's scan by the operations of LibTorch.
Scanned inputs_of(const Mamba& layer, const at::Tensor& x) {
  const auto parts = at::linear(x, layer->in_proj->weight).chunk(2, -1);
  const auto& conv = layer->conv1d;
  const auto padded = at::constant_pad_nd(parts[0].transpose(1, 2), {conv->reach(), 0});
  const auto u =
      at::silu(at::conv1d(padded, conv->weight, conv->bias, 1, at::IntArrayRef{0}, 1, padded.size(1)).transpose(1, 2));
  const int64_t S = layer->options.state;
  const auto chosen = at::linear(u, layer->x_proj->weight).split_with_sizes({layer->options.rank, S, S}, -1);
  const auto delta = at::softplus(at::linear(chosen[0], layer->dt_proj->weight, layer->dt_proj->bias));
  return {{.x = u, .delta = delta, .a = -at::exp(layer->A_log), .b = chosen[1], .c = chosen[2]}, at::silu(parts[1])};
}

// Σ_s C_is·Π_t e^{Δ_t·A_s}·Δ_j·B_js, one factor a token between.
double scan_factor(const SelectiveScanInputs& in, int64_t b, int64_t channel, int64_t i, int64_t j) {
  const auto number = [](const at::Tensor& t) { return t.item<double>(); };
  double sum = 0;
  for (int64_t s = 0; s < in.a.size(1); ++s) {
    double kept = number(in.delta[b][j][channel]) * number(in.b[b][j][s]);
    for (int64_t t = j + 1; t <= i; ++t) kept *= std::exp(number(in.delta[b][t][channel]) * number(in.a[channel][s]));
    sum += number(in.c[b][i][s]) * kept;
  }
  return sum;
}

// 70 tokens: two whole stretches and a rest, and steps long enough to forget all.
TEST(MixingMap, OfAScanIsItsMatrix) {
  at::manual_seed(4);
  const at::NoGradGuard no_grad;
  const SelectiveScanInputs in{.x = at::randn({2, 70, 3}, at::kDouble),
                               .delta = at::exp(at::randn({2, 70, 3}, at::kDouble) * 2 - 2),
                               .a = -at::rand({3, 2}, at::kDouble) - 0.1,
                               .b = at::randn({2, 70, 2}, at::kDouble),
                               .c = at::randn({2, 70, 2}, at::kDouble)};
  const auto matrix = selective_scan_matrix(in);
  ASSERT_EQ(matrix.sizes(), at::IntArrayRef({2, 3, 70, 70}));
  const auto y = at::matmul(matrix, in.x.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2);
  EXPECT_LE(relative_error(selective_scan(in).y, y), 1e-12);
  for (const auto& [i, j] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 0}, {31, 0}, {31, 31}, {32, 31}, {40, 33}, {69, 0}, {69, 64}, {69, 69}, {63, 31}, {5, 6}, {0, 69}}) {
    for (int64_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(matrix[1][c][i][j].item<double>(), j > i ? 0 : scan_factor(in, 1, c, i, j), 1e-12) << i << " " << j;
    }
  }
  // Exact in float32 too, where sums of many steps are large.
  const auto single = selective_scan_matrix(
      {in.x.to(at::kFloat), in.delta.to(at::kFloat), in.a.to(at::kFloat), in.b.to(at::kFloat), in.c.to(at::kFloat)});
  EXPECT_LE((single - matrix).abs().max().item<double>() / matrix.abs().max().item<double>(), 1e-6);
  EXPECT_THAT(error_of([&] {
                selective_scan_matrix({in.x, in.delta, in.a, in.b, in.c.narrow(1, 0, 5)});
              }),
              ::testing::StartsWith("3: "));
}

TEST(MixingMap, OfMambaIsItsHiddenAttention) {
  at::manual_seed(5);
  Mamba layer({.width = 2, .state = 2, .kernel = 3});
  layer->to(at::kDouble);
  for (auto& parameter : layer->parameters()) parameter.detach().normal_(0, 0.7);
  const auto x = at::randn({2, 37, 2}, at::kDouble);
  const Scanned scanned = inputs_of(layer, x);
  const auto& in = scanned.in;
  const std::vector<int64_t> rows = {36, 0, 20};
  const auto plain = layer->forward(x);
  const AttentionRecorder recorder(*layer, {.queries = rows, .gradients = true});
  const auto result = layer->forward(x);
  EXPECT_TRUE(at::equal(result, plain));
  (result * fixed_weights(result)).sum().backward();
  ASSERT_EQ(recorder.maps().size(), 2);
  EXPECT_EQ(recorder.maps()[0].path, "conv1d");
  EXPECT_EQ(recorder.maps()[1].path, "");
  const auto pair = [&](int64_t b, int64_t i, int64_t j) {
    Vector factors(4, 0);
    for (int64_t c = 0; c < 4 && j <= i; ++c) {
      factors[c] = scan_factor(in, b, c, i, j) + (i == j ? layer->D[c].item<double>() : 0);
    }
    return diagonal(factors);
  };
  const auto grad = at::matmul(fixed_weights(result), layer->out_proj->weight) * scanned.behind;
  expect_map(recorder.maps()[1], {in.x, grad, pair}, rows);
}

// A map in the graph, so that it can be differentiated itself.
TEST(MixingMap, IsInTheGraphWhereARecorderWantsIt) {
  Mamba layer({.width = 4, .state = 2});
  S4 other({.width = 4, .state = 4});
  const auto x = at::randn({1, 40, 4});
  const AttentionRecorder recorder(*layer, {.layers = "", .differentiable = true});
  layer->forward(x);
  recorder.maps().at(0).weights.square().sum().backward();
  EXPECT_GT(layer->dt_proj->weight.grad().abs().sum().item<double>(), 0);
  const AttentionRecorder of_other(*other, {.layers = "", .differentiable = true});
  other->forward(x);
  of_other.maps().at(0).weights.square().sum().backward();
  EXPECT_GT(other->kernel->log_dt.grad().abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace fovea::testing
