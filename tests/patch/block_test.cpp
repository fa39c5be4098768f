#include "fovea/modules/patch/block.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>

#include <cmath>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// A [rows, columns] matrix in fp64 for plain loops.
struct Matrix {
  int64_t rows, columns;
  std::vector<double> values;
  Matrix(int64_t rows, int64_t columns) : rows(rows), columns(columns), values(rows * columns) {}
  explicit Matrix(const at::Tensor& tensor) : Matrix(tensor.size(0), tensor.size(1)) {
    const auto wide = tensor.detach().to(at::kDouble).contiguous();
    std::copy_n(wide.const_data_ptr<double>(), values.size(), values.begin());
  }
  double& operator()(int64_t i, int64_t j) { return values[i * columns + j]; }
  double operator()(int64_t i, int64_t j) const { return values[i * columns + j]; }
  at::Tensor tensor() const { return at::tensor(values, at::kDouble).view({rows, columns}); }
};

Matrix linear(const Matrix& x, const LinearImpl& layer) {
  const Matrix weight(layer.weight);
  Matrix y(x.rows, weight.rows);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < weight.rows; ++j) {
      y(i, j) = layer.bias.defined() ? layer.bias[j].item<double>() : 0.0;
      for (int64_t k = 0; k < x.columns; ++k) y(i, j) += x(i, k) * weight(j, k);
    }
  }
  return y;
}

Matrix norm(const Matrix& x, const LayerNormImpl& layer) {
  Matrix y(x.rows, x.columns);
  for (int64_t i = 0; i < x.rows; ++i) {
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < x.columns; ++j) mean += x(i, j) / static_cast<double>(x.columns);
    for (int64_t j = 0; j < x.columns; ++j) variance += std::pow(x(i, j) - mean, 2) / static_cast<double>(x.columns);
    for (int64_t j = 0; j < x.columns; ++j) {
      y(i, j) = (x(i, j) - mean) / std::sqrt(variance + layer.options.eps) * layer.weight[j].item<double>() +
                layer.bias[j].item<double>();
    }
  }
  return y;
}

// Of one sample [N,D]; rows of qkv are q, k, v, each head by head.
Matrix attend(const Matrix& x, const SelfAttentionImpl& layer) {
  const int64_t dim = layer.options.dim, heads = layer.options.heads, d = dim / heads;
  const Matrix qkv = linear(x, *layer.qkv);
  Matrix mixed(x.rows, dim);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < x.rows; ++i) {
      std::vector<double> weights(x.rows);
      double sum = 0;
      for (int64_t j = 0; j < x.rows; ++j) {
        double score = 0;
        for (int64_t c = h * d; c < (h + 1) * d; ++c) score += qkv(i, c) * qkv(j, dim + c);
        sum += weights[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (int64_t c = h * d; c < (h + 1) * d; ++c) {
        for (int64_t j = 0; j < x.rows; ++j) mixed(i, c) += weights[j] / sum * qkv(j, 2 * dim + c);
      }
    }
  }
  return linear(mixed, *layer.proj);
}

Matrix mlp(const Matrix& x, const MlpImpl& layer) {
  Matrix hidden = linear(x, *layer.fc1);
  for (double& value : hidden.values) value *= 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
  return linear(hidden, *layer.fc2);
}

Matrix block(const Matrix& x, const PreNormBlockImpl& layer) {
  const auto add = [](Matrix stem, const Matrix& branch, const LayerScale& scale) {
    for (int64_t i = 0; i < stem.rows; ++i) {
      for (int64_t j = 0; j < stem.columns; ++j) {
        stem(i, j) += branch(i, j) * (scale ? scale->gamma[j].item<double>() : 1.0);
      }
    }
    return stem;
  };
  const Matrix attended = add(x, attend(norm(x, *layer.norm1), *layer.attn), layer.ls1);
  return add(attended, mlp(norm(attended, *layer.norm2), *layer.mlp), layer.ls2);
}

// Parameters big enough for scores, gates and biases to matter.
template <typename Impl>
void randomise(Impl& layer) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer.parameters()) parameter.normal_(0, 0.5);
}

// The layer on each sample of x [B,N,D] against the oracle.
template <typename Impl, typename Oracle>
void expect_equal(Impl& layer, const at::Tensor& x, Oracle oracle) {
  const auto y = layer.forward(x);
  ASSERT_EQ(y.sizes(), x.sizes());
  for (int64_t b = 0; b < x.size(0); ++b) {
    EXPECT_LE(relative_error(y[b], oracle(Matrix(x[b]), layer).tensor()), tolerance(at::kFloat));
  }
}

TEST(SelfAttention, EqualsLoops) {
  at::manual_seed(1);
  for (const auto& [N, dim, heads] :
       std::vector<std::array<int64_t, 3>>{{1, 4, 1}, {7, 12, 3}, {17, 10, 5}, {5, 8, 8}}) {
    for (const bool bias : {true, false}) {
      SelfAttention layer({.dim = dim, .heads = heads, .qkv_bias = bias});
      randomise(*layer);
      EXPECT_EQ(layer->qkv->bias.defined(), bias);
      expect_equal(*layer, at::randn({2, N, dim}), attend);
      expect_equal(*layer, at::randn({dim, N, 2}).permute({2, 1, 0}), attend);
    }
  }
}

TEST(Mlp, EqualsLoops) {
  at::manual_seed(2);
  Mlp layer({.features = 6, .hidden = 9});
  randomise(*layer);
  expect_equal(*layer, at::randn({2, 5, 6}), mlp);
  EXPECT_EQ(layer->forward(at::randn({3, 2, 5, 6})).sizes(), at::IntArrayRef({3, 2, 5, 6}));
}

TEST(PreNormBlock, EqualsLoops) {
  at::manual_seed(3);
  for (const double scale : {0.0, 0.3}) {
    PreNormBlock layer({.dim = 8, .heads = 2, .mlp_ratio = 1.5, .layer_scale = scale});
    EXPECT_EQ(layer->mlp->fc1->weight.size(0), 12);
    randomise(*layer);
    const auto x = at::randn({2, 5, 8});
    const auto kept = x.clone();
    expect_equal(*layer, x, block);
    const at::NoGradGuard no_grad;  // the sum in place
    expect_equal(*layer, x, block);
    EXPECT_TRUE(at::equal(x, kept));
  }
}

TEST(LayerScale, ScalesChannels) {
  LayerScale layer({.dim = 3, .initial = 0.5});
  EXPECT_TRUE(at::equal(layer->forward(at::ones({2, 3})), at::full({2, 3}, 0.5)));
  const at::NoGradGuard no_grad;
  layer->gamma.copy_(at::tensor({1.0f, 2.0f, 3.0f}));
  EXPECT_TRUE(at::equal(layer->forward(at::ones({1, 3})), at::tensor({1.0f, 2.0f, 3.0f}).view({1, 3})));
}

TEST(Patch, GradientsEqualCentralDifferences) {
  at::manual_seed(4);
  const auto x = at::randn({2, 3, 4}, at::kDouble);
  SelfAttention attention({.dim = 4, .heads = 2});
  randomise(*attention);
  EXPECT_LE(module_gradient_error(*attention, x), 1e-5);
  Mlp perceptron({.features = 4, .hidden = 5});
  randomise(*perceptron);
  EXPECT_LE(module_gradient_error(*perceptron, x), 1e-5);
  PreNormBlock whole({.dim = 4, .heads = 2, .mlp_ratio = 1, .layer_scale = 0.5});
  randomise(*whole);
  EXPECT_LE(module_gradient_error(*whole, x), 1e-5);
}

TEST(Patch, ResidualIsWrittenInPlaceOnlyWhereNobodyNotices) {
  const auto stem = at::randn({4}), branch = at::randn({4});
  const auto sum = stem + branch;
  EXPECT_FALSE(add_residual(stem, branch).is_same(branch));
  const at::NoGradGuard no_grad;
  const auto narrow = branch.to(at::kBFloat16);
  EXPECT_EQ(add_residual(stem, narrow).scalar_type(), at::kFloat);
  const auto joined = add_residual(stem, branch);
  EXPECT_TRUE(joined.is_same(branch));
  EXPECT_TRUE(at::equal(joined, sum));
}

TEST(Patch, CloneIsIndependentAndOfOurTypes) {
  at::manual_seed(5);
  PreNormBlock layer({.dim = 8, .heads = 2, .drop_path = 0.25, .layer_scale = 0.1});
  randomise(*layer);
  layer->eval();
  const auto x = at::randn({2, 3, 8});
  const auto before = layer->forward(x);
  torch::nn::Sequential net(layer);
  const auto copy = std::dynamic_pointer_cast<PreNormBlockImpl>(
      std::dynamic_pointer_cast<torch::nn::SequentialImpl>(net->clone())->ptr(0));
  ASSERT_TRUE(copy);
  EXPECT_TRUE(std::dynamic_pointer_cast<LinearImpl>(copy->named_modules()["attn.qkv"]));
  EXPECT_EQ(copy->drop_path->options.probability, 0.25);
  EXPECT_TRUE(at::equal(copy->forward(x), before));
  randomise(*copy);
  EXPECT_FALSE(at::equal(copy->forward(x), before));
  EXPECT_TRUE(at::equal(layer->forward(x), before));
}

TEST(Patch, KeysAreTimms) {
  PreNormBlock layer({.dim = 8, .heads = 2, .layer_scale = 0.1});
  std::vector<std::string> keys;
  for (const auto& parameter : layer->named_parameters()) keys.push_back(parameter.key());
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias",
                                                    "attn.proj.weight", "attn.proj.bias", "norm2.weight", "norm2.bias",
                                                    "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
                                                    "ls1.gamma", "ls2.gamma"));
}

TEST(Patch, CastsAndPreparesForInference) {
  at::manual_seed(6);
  PreNormBlock layer({.dim = 64, .heads = 2});
  const auto x = at::randn({2, 9, 64});
  layer->eval();
  const at::NoGradGuard no_grad;
  const auto plain = layer->forward(x);
  prepare_for_inference(*layer);
  EXPECT_LE(relative_error(layer->forward(x), plain), tolerance(at::kFloat));
  layer->to(at::kBFloat16);
  const auto narrow = layer->forward(x.to(at::kBFloat16));
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_error(narrow, plain), tolerance(at::kBFloat16));
}

TEST(Patch, DropoutActsInTrainingAlone) {
  at::manual_seed(7);
  const auto x = at::randn({8, 6, 8});
  const auto differs = [&](const PreNormBlockOptions& options) {
    PreNormBlock layer(options);
    randomise(*layer);
    const bool random_in_training = !at::equal(layer->forward(x), layer->forward(x));
    layer->eval();
    EXPECT_TRUE(at::equal(layer->forward(x), layer->forward(x)));
    return random_in_training;
  };
  EXPECT_FALSE(differs({.dim = 8, .heads = 2}));
  EXPECT_TRUE(differs({.dim = 8, .heads = 2, .attn_drop = 0.5}));
  EXPECT_TRUE(differs({.dim = 8, .heads = 2, .proj_drop = 0.5}));
  EXPECT_TRUE(differs({.dim = 8, .heads = 2, .drop_path = 0.5}));
}

TEST(Patch, BlockHandsItsOptionsDown) {
  PreNormBlock layer({.dim = 8, .heads = 2, .qkv_bias = false, .attn_drop = 0.1, .proj_drop = 0.2, .norm_eps = 0.3});
  EXPECT_EQ(layer->attn->options.heads, 2);
  EXPECT_FALSE(layer->attn->options.qkv_bias);
  EXPECT_EQ(layer->attn->options.attn_drop, 0.1);
  EXPECT_EQ(layer->attn->options.proj_drop, 0.2);
  EXPECT_EQ(layer->mlp->options.dropout, 0.2);
  EXPECT_EQ(layer->norm1->options.eps, 0.3);
  EXPECT_EQ(layer->norm2->options.eps, 0.3);
}

TEST(Patch, RecorderSeesTheAttentionModule) {
  PreNormBlock layer({.dim = 8, .heads = 2});
  const AttentionRecorder recorder(*layer, {.layers = "attn"});
  layer->forward(at::randn({3, 5, 8}));
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_EQ(recorder.maps()[0].path, "attn");
  EXPECT_EQ(recorder.maps()[0].weights.sizes(), at::IntArrayRef({3, 2, 5, 5}));
}

TEST(Patch, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(SelfAttention({.heads = 2}), ErrorKind::usage, "dim 0");
  EXPECT_ERROR(SelfAttention({.dim = 8}), ErrorKind::usage, "heads 0");
  EXPECT_ERROR(SelfAttention({.dim = 100, .heads = 12}), ErrorKind::usage, "dim 100 is not divisible by heads 12");
  EXPECT_ERROR(SelfAttention({.dim = 8, .heads = 2, .attn_drop = 1.0}), ErrorKind::usage, "attn_drop 1");
  EXPECT_ERROR(SelfAttention({.dim = 8, .heads = 2, .proj_drop = -0.5}), ErrorKind::usage, "proj_drop -0.5");
  EXPECT_ERROR(Mlp({.features = 8}), ErrorKind::usage, "hidden 0");
  EXPECT_ERROR(Mlp({.features = 8, .hidden = 8, .dropout = 2}), ErrorKind::usage, "dropout 2");
  EXPECT_ERROR(LayerScale({.initial = 1}), ErrorKind::usage, "dim 0");
  EXPECT_ERROR(PreNormBlock({.heads = 2}), ErrorKind::usage, "0");
  EXPECT_ERROR(PreNormBlock({.dim = 8, .heads = 2, .mlp_ratio = 0}), ErrorKind::usage, "mlp_ratio 0");
  SelfAttention layer({.dim = 8, .heads = 2});
  EXPECT_ERROR(layer->forward(at::zeros({2, 3, 4})), ErrorKind::data, "expected [B,N,8], got [2,3,4]");
  EXPECT_ERROR(layer->forward(at::zeros({3, 8})), ErrorKind::data, "got [3,8]");
}

}  // namespace
}  // namespace fovea::testing
