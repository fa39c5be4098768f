#include "fovea/modules/patch/patch_embed.h"

#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// Each token from the definition; pixels beyond the image are zero.
at::Tensor oracle(const at::Tensor& image, const PatchEmbedImpl& layer) {
  const int64_t patch = layer.options.patch;
  const int64_t rows = (image.size(2) + patch - 1) / patch, columns = (image.size(3) + patch - 1) / patch;
  const auto x = image.to(at::kDouble).contiguous();
  const auto weight = layer.proj->weight.detach().to(at::kDouble), bias = layer.proj->bias.detach().to(at::kDouble);
  const auto pixel = x.accessor<double, 4>(), w = weight.accessor<double, 4>();
  auto out = at::zeros({x.size(0), rows, columns, layer.options.dim}, at::kDouble);
  auto token = out.accessor<double, 4>();
  for (int64_t b = 0; b < x.size(0); ++b) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t d = 0; d < layer.options.dim; ++d) {
          double sum = bias[d].item<double>();
          for (int64_t c = 0; c < x.size(1); ++c) {
            for (int64_t u = 0; u < patch && i * patch + u < x.size(2); ++u) {
              for (int64_t v = 0; v < patch && j * patch + v < x.size(3); ++v) {
                sum += w[d][c][u][v] * pixel[b][c][i * patch + u][j * patch + v];
              }
            }
          }
          token[b][i][j][d] = sum;
        }
      }
    }
  }
  return out;
}

at::Tensor normed(const at::Tensor& tokens, double eps) {
  const auto centred = tokens - tokens.mean(-1, true);
  return centred / (centred.square().mean(-1, true) + eps).sqrt();
}

TEST(PatchEmbed, EqualsTheDefinition) {
  at::manual_seed(1);
  PatchEmbed embed({.in_channels = 2, .dim = 5, .patch = 3});
  const auto x = at::randn({2, 2, 6, 9});
  const auto y = embed->forward(x);
  EXPECT_EQ(y.sizes(), at::IntArrayRef({2, 2, 3, 5}));
  EXPECT_LE(relative_error(y, oracle(x, *embed)), tolerance(at::kFloat));
  const auto strided = at::randn({2, 2, 9, 6}).transpose(2, 3);
  EXPECT_LE(relative_error(embed->forward(strided), oracle(strided, *embed)), tolerance(at::kFloat));
}

TEST(PatchEmbed, PadsWithZerosBelowAndRight) {
  at::manual_seed(2);
  PatchEmbed embed({.in_channels = 1, .dim = 4, .patch = 4, .pad = true});
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{7, 4}, {4, 9}, {1, 1}, {8, 8}}) {
    const auto x = at::randn({1, 1, h, w});
    EXPECT_LE(relative_error(embed->forward(x), oracle(x, *embed)), tolerance(at::kFloat)) << h << "x" << w;
    EXPECT_EQ(embed->patches(h), (h + 3) / 4);
  }
}

TEST(PatchEmbed, NormsEachToken) {
  at::manual_seed(3);
  PatchEmbed embed({.in_channels = 3, .dim = 6, .patch = 2, .norm = true, .norm_eps = 1e-3});
  const auto x = at::randn({1, 3, 4, 4});
  EXPECT_LE(relative_error(embed->forward(x), normed(oracle(x, *embed), 1e-3)), tolerance(at::kFloat));
}

TEST(PatchEmbed, GradientsEqualCentralDifferences) {
  at::manual_seed(4);
  for (const bool pad : {false, true}) {
    PatchEmbed embed({.in_channels = 2, .dim = 3, .patch = 2, .norm = pad, .pad = pad});
    const auto side = pad ? 3 : 4;
    EXPECT_LE(module_gradient_error(*embed, at::randn({1, 2, side, 4}, at::kDouble)), 1e-5);
  }
}

TEST(PatchEmbed, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(PatchEmbed({.dim = 4}), ErrorKind::usage, "patch 0");
  EXPECT_ERROR(PatchEmbed({.patch = 4}), ErrorKind::usage, "dim 0");
  PatchEmbed embed({.dim = 4, .patch = 4});
  EXPECT_ERROR(embed->forward(at::zeros({1, 1, 4, 4})), ErrorKind::data, "expected [B,3,h,w], got [1,1,4,4]");
  EXPECT_ERROR(embed->forward(at::zeros({3, 4, 4})), ErrorKind::data, "got [3,4,4]");
  EXPECT_ERROR(embed->forward(at::zeros({1, 3, 4, 6})), ErrorKind::data, "6 is not a positive multiple of the patch 4");
  PatchEmbed padded({.dim = 4, .patch = 4, .pad = true});
  EXPECT_ERROR(padded->forward(at::zeros({1, 3, 4, 0})), ErrorKind::data, "image side 0");
}

}  // namespace
}  // namespace fovea::testing
