#include <gtest/gtest.h>

#include <cmath>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/window/cosine_window_attention.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

const CosineWindowAttentionOptions kCosine = {
    .layer = {.dim = 12, .heads = 3, .window = {4, 2}, .shift = {2, 1}, .grid = {8, 6}}, .pretrained = {3, 3}};

// Factors of 1 and 2, and one beyond its limit of 100.
CosineWindowAttention cosine_layer(const CosineWindowAttentionOptions& options = kCosine) {
  at::manual_seed(1);
  CosineWindowAttention made(options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : made->parameters()) parameter.normal_();
  made->logit_scale.copy_(at::tensor({0.0, std::log(2.0), 9.0}).view({3, 1, 1}));
  return made;
}

// q and k of each head over their lengths, q times its factor, in loops.
at::Tensor scaled(const at::Tensor& rows, int64_t heads) {
  auto out = rows.detach().to(at::kDouble).clone();
  auto flat = out.view({-1, out.size(-1)});
  auto x = flat.accessor<double, 2>();
  const int64_t width = out.size(-1) / 3, d = width / heads;
  const double factors[] = {1, 2, 100};
  for (int64_t row = 0; row < flat.size(0); ++row) {
    for (int64_t part = 0; part < 2; ++part) {
      for (int64_t h = 0; h < heads; ++h) {
        double length = 0;
        for (int64_t c = 0; c < d; ++c) length += std::pow(x[row][part * width + h * d + c], 2);
        const double by = (part == 0 ? factors[h] : 1.0) / std::max(std::sqrt(length), 1e-12);
        for (int64_t c = 0; c < d; ++c) x[row][part * width + h * d + c] *= by;
      }
    }
  }
  return out;
}

// 16·sigmoid of the two layers, of each offset's signed log2(1 + 8·|offset|/(trained − 1))/log2 8.
at::Tensor bias_table(LogRelativeBiasImpl& network, const std::array<int64_t, 2>& window) {
  const auto place = [](int64_t offset, int64_t trained) {
    const double wide = 8.0 * static_cast<double>(offset) / static_cast<double>(trained - 1);
    return std::copysign(std::log2(1 + std::abs(wide)) / 3, wide);
  };
  const int64_t heads = network.options.heads, hidden = network.options.hidden;
  auto table = at::zeros({(2 * window[0] - 1) * (2 * window[1] - 1), heads}, at::kDouble);
  const auto w1 = network.first->weight.detach().to(at::kDouble), b1 = network.first->bias.detach().to(at::kDouble),
             w2 = network.second->weight.detach().to(at::kDouble);
  const auto a1 = w1.accessor<double, 2>(), a2 = w2.accessor<double, 2>();
  int64_t row = 0;
  for (int64_t dy = 1 - window[0]; dy < window[0]; ++dy) {
    for (int64_t dx = 1 - window[1]; dx < window[1]; ++dx, ++row) {
      for (int64_t h = 0; h < heads; ++h) {
        double sum = 0;
        for (int64_t j = 0; j < hidden; ++j) {
          const double in = a1[j][0] * place(dy, 3) + a1[j][1] * place(dx, 3) + b1.data_ptr<double>()[j];
          sum += a2[h][j] * std::max(in, 0.0);
        }
        table[row][h] = 16 / (1 + std::exp(-sum));
      }
    }
  }
  return table;
}

OracleResult oracle_of(CosineWindowAttention& attn, const at::Tensor& x) {
  const auto& o = attn->options.layer;
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble); };
  const auto row = at::cat({wide(attn->q_bias), at::zeros({o.dim}, at::kDouble), wide(attn->v_bias)});
  const auto qkv = scaled(at::matmul(wide(x), wide(attn->qkv->weight).t()) + row, o.heads);
  WindowArgs args = {.heads = o.heads, .window = o.window, .shift = o.shift, .pad_first = o.pad_first};
  const WindowLayout layout = window_layout(x.size(1), x.size(2), args);
  args.scale = 1;
  args.bias_table = bias_table(*attn->cpb_mlp, o.window);
  args.pad_row = scaled(row.unsqueeze(0), o.heads).squeeze(0);
  auto result = oracle(qkv, args, layout);
  result.output = at::linear(result.output, wide(attn->proj->weight), wide(attn->proj->bias));
  return result;
}

TEST(CosineWindowAttention, EqualsLoopsAtTheBuiltSizeAndAtOthers) {
  const at::NoGradGuard no_grad;
  for (const bool pad_first : {false, true}) {
    auto options = kCosine;
    options.layer.pad_first = pad_first;
    auto attn = cosine_layer(options);
    attn->eval();
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{8, 6}, {7, 9}, {3, 1}, {1, 13}}) {
      const auto x = at::randn({2, h, w, 12});
      const auto expected = oracle_of(attn, x).output;
      // Scores of 100 amplify what float32 rounds off.
      EXPECT_LE(relative_error(attn->forward(x), expected), 1e-4) << h << "x" << w;
      auto wide = std::dynamic_pointer_cast<CosineWindowAttentionImpl>(attn->clone());
      wide->to(at::kDouble);
      // The log-spaced offsets are kept in float32.
      EXPECT_LE(relative_error(wide->forward(x.to(at::kDouble)), expected), 1e-5) << h << "x" << w;
      prepare_for_inference(*wide);
      EXPECT_LE(relative_error(wide->forward(x.to(at::kDouble)), expected), 1e-5) << h << "x" << w;
    }
  }
}

TEST(CosineWindowAttention, MapsAreThoseOfTheLoops) {
  const at::NoGradGuard no_grad;
  auto attn = cosine_layer();
  const AttentionRecorder recorder(*attn);
  const auto x = at::randn({1, 8, 6, 12});
  attn->forward(x);
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_EQ(recorder.maps()[0].shift, 2);
  EXPECT_LE((recorder.maps()[0].weights - oracle_of(attn, x).weights).abs().max().item<double>(), 1e-4);
}

TEST(CosineWindowAttention, Differentiates) {
  auto options = kCosine;
  options.layer = {.dim = 4, .heads = 2, .window = {2, 2}, .shift = {1, 1}};
  at::manual_seed(2);
  CosineWindowAttention attn(options);
  // Away from the corner of the ReLU, on which biases of 0 put the offset 0.
  for (auto& parameter : attn->parameters()) parameter.data().normal_();
  EXPECT_LE(module_gradient_error(*attn, at::randn({1, 3, 4, 4}, at::kDouble)), 1e-5);
}

TEST(CosineWindowAttention, WithoutBiasHasNone) {
  auto options = kCosine;
  options.layer.qkv_bias = false;
  CosineWindowAttention attn(options);
  EXPECT_FALSE(attn->q_bias.defined() || attn->v_bias.defined());
  EXPECT_EQ(attn->forward(at::randn({1, 5, 5, 12})).sizes(), at::IntArrayRef({1, 5, 5, 12}));
}

TEST(CosineWindowAttention, RefusesWhatDoesNotFit) {
  auto options = kCosine;
  options.layer.heads = 5;
  EXPECT_ERROR(CosineWindowAttention{options}, ErrorKind::usage,
               "CosineWindowAttention: dim 12 is not divisible by heads 5");
  options = kCosine;
  options.pretrained = {-1, 0};
  EXPECT_ERROR(CosineWindowAttention{options}, ErrorKind::usage, "pretrained window -1x0");
  EXPECT_ERROR(cosine_layer()->forward(at::zeros({1, 8, 6, 11})), ErrorKind::data,
               "expected [B,h,w,12], got [1,8,6,11]");
}

}  // namespace
}  // namespace fovea::testing
