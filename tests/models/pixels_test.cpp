#include "fovea/vision/models/pixels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/recompute.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/vision/models/registry.h"

namespace fovea::testing {
namespace {

constexpr PixelMixer kMixers[] = {PixelMixer::dense,     PixelMixer::window, PixelMixer::linear,
                                  PixelMixer::linformer, PixelMixer::s4,     PixelMixer::mamba};

PixelClassifierOptions small(PixelMixer kind) {
  return {.mixer = {.kind = kind, .height = 4, .width = 5, .dim = 4, .reach = 1, .projected = 3, .state = 2},
          .depth = 2,
          .in_channels = 1};
}

// Away from the start, at which branches add almost nothing.
PixelClassifier drawn(PixelMixer kind) {
  at::manual_seed(1);
  PixelClassifier model(small(kind));
  model->eval();
  model->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    if (item.key().find("s4.") == std::string::npos && item.key().find("mamba.") == std::string::npos) {
      item.value().add_(at::randn_like(item.value()) * 0.3);
    }
  }
  return model;
}

at::Tensor normed(const at::Tensor& x, const LayerNorm& norm) {
  const auto mean = x.mean(-1, true), centred = x - mean;
  return centred / at::sqrt(centred.square().mean(-1, true) + 1e-6) * norm->weight + norm->bias;
}

// The whole network by the formula, the mixers as tested on their own; dense attention by loops over heads.
TEST(PixelClassifier, IsItsFormula) {
  const at::NoGradGuard no_grad;
  for (const PixelMixer kind : kMixers) {
    auto model = drawn(kind);
    const auto image = at::randn({2, 1, 4, 5}, at::kDouble);
    auto x = image.view({2, 20, 1}) * model->embed->weight.view({1, 1, 4}) + model->embed->bias + model->pos_embed;
    for (const auto& child : *model->blocks) {
      auto* block = child->as<PixelBlockImpl>();
      const auto in = normed(x, block->norm1);
      auto mixed = block->mixer->forward(in);
      if (kind == PixelMixer::dense) {
        const auto qkv = at::matmul(in, block->mixer->qkv->weight.t()) + block->mixer->qkv->bias;
        std::vector<at::Tensor> heads;
        for (int64_t h = 0; h < 2; ++h) {
          const auto q = qkv.narrow(2, 2 * h, 2), k = qkv.narrow(2, 4 + 2 * h, 2), v = qkv.narrow(2, 8 + 2 * h, 2);
          heads.push_back(at::matmul(at::softmax(at::matmul(q, k.transpose(1, 2)) / std::sqrt(2.0), -1), v));
        }
        const auto by_hand = at::matmul(at::cat(heads, 2), block->mixer->proj->weight.t()) + block->mixer->proj->bias;
        EXPECT_LE(relative_error(mixed, by_hand), 1e-12);
        mixed = by_hand;
      }
      x = x + mixed;
      const auto hidden = at::matmul(normed(x, block->norm2), block->mlp->fc1->weight.t()) + block->mlp->fc1->bias;
      x = x + at::matmul(at::gelu(hidden), block->mlp->fc2->weight.t()) + block->mlp->fc2->bias;
    }
    const auto logits = at::matmul(normed(x, model->norm).mean(1), model->head->weight.t()) + model->head->bias;
    EXPECT_LE(relative_error(model->forward(image), logits), 1e-10) << static_cast<int>(kind);
  }
}

TEST(PixelClassifier, EveryMixerDiffersAndDifferentiates) {
  std::vector<at::Tensor> answers;
  for (const PixelMixer kind : kMixers) {
    auto model = drawn(kind);
    const auto image = at::linspace(-1, 1, 20, at::kDouble).view({1, 1, 4, 5});
    std::vector<at::Tensor> leaves = model->parameters();
    EXPECT_LE(leaf_gradient_error([&] { return model->forward(image); }, leaves), 1e-5) << static_cast<int>(kind);
    const at::NoGradGuard no_grad;
    for (const auto& other : answers) EXPECT_GT(relative_error(model->forward(image), other), 1e-6);
    answers.push_back(model->forward(image));
    // A clone has tables of its own.
    const auto copy = std::dynamic_pointer_cast<PixelClassifierImpl>(model->clone());
    EXPECT_TRUE(at::equal(copy->forward(image), answers.back()));
  }
}

// What all methods of looking into a network need, also of those without scores.
TEST(PixelClassifier, EveryMixerRecordsItsMapsWithTheirGradients) {
  for (const PixelMixer kind : kMixers) {
    auto model = drawn(kind);
    const auto image = at::randn({2, 1, 4, 5}, at::kDouble);
    const auto plain = model->forward(image);
    const AttentionRecorder recorder(*model, {.gradients = true});
    const auto logits = model->forward(image);
    EXPECT_TRUE(at::equal(logits, plain));
    logits.select(1, 0).sum().backward();
    const int64_t of_each = kind == PixelMixer::mamba ? 2 : 1;  // the convolution in front of the scan
    ASSERT_EQ(recorder.maps().size(), 2 * of_each) << static_cast<int>(kind);
    for (const auto& map : recorder.maps()) {
      EXPECT_EQ(map.kind, MapKind::tokens);
      EXPECT_EQ(map.weights.size(2), 20);
      EXPECT_EQ(map.weights.size(3), kind == PixelMixer::linformer ? 3 : 20);
      EXPECT_LE((map.weights.sum(-1) - 1).abs().max().item<double>(), 1e-5) << map.path;
      EXPECT_GE(map.weights.min().item<double>(), 0) << map.path;
      EXPECT_EQ(map.gradient.sizes(), map.weights.sizes()) << map.path;
      EXPECT_EQ(map.grid.width, 5);
    }
  }
}

// A pixel far away reaches the answer of another through windows only in as many steps as blocks.
TEST(PixelClassifier, AWindowSeesItsNeighbourhoodAndDenseAttentionAll) {
  const auto reached = [](PixelMixer kind) {
    auto options = small(kind);
    options.depth = 1;
    at::manual_seed(1);
    PixelClassifier model(options);
    model->to(at::kDouble);
    const auto image = at::randn({1, 1, 4, 5}, at::kDouble).requires_grad_(true);
    model->forward_features(image)[0][0].square().sum().backward();  // the pixel above on the left
    const auto size = image.grad()[0][0].abs();
    return size.gt(1e-10 * size.max());  // a Fourier transform leaves the last bits everywhere
  };
  const auto window = reached(PixelMixer::window);
  EXPECT_EQ(window.sum().item<int64_t>(), 4);  // itself, right, below, and both
  EXPECT_TRUE(window.narrow(0, 0, 2).narrow(1, 0, 2).all().item<bool>());
  EXPECT_TRUE(reached(PixelMixer::dense).all().item<bool>());
  EXPECT_EQ(reached(PixelMixer::s4).sum().item<int64_t>(), 1);  // causal: nothing comes before the first
}

// The scope reaches the blocks of every transformer: same gradients, less memory at once.
TEST(RecomputeScope, ModelsGiveTheSameGradientsInLessMemory) {
  for (const char* name : {"vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "cait_xxs24_224",
                           "fovea_pixels_dense", "fovea_pixels_mamba"}) {
    const bool pixels = std::string(name).find("pixels") != std::string::npos;
    const bool swin = std::string(name).find("swin") != std::string::npos;
    at::manual_seed(1);
    const auto made = create_model(name, {.num_classes = 3, .image_size = pixels ? 16 : swin ? 56 : 48});
    made.model->module().train();
    const int64_t side = made.info.preprocess.height;
    const auto x = at::randn({1, 3, side, side});
    std::vector<at::Tensor> usual;
    int64_t usual_peak = 0;
    for (const bool recompute : {false, true}) {
      made.model->module().zero_grad();
      at::manual_seed(2);
      const RecomputeScope scope(recompute);
      EXPECT_EQ(RecomputeScope::active(), recompute);
      const AllocatedBytes held;
      const auto loss = made.model->forward(x).square().sum();
      const int64_t peak = held.peak();
      loss.backward();
      const auto parameters = made.model->module().parameters();
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!recompute) usual.push_back(parameters[i].grad().clone());
        EXPECT_TRUE(at::equal(parameters[i].grad(), usual[i])) << name << " " << i;
      }
      if (!recompute) usual_peak = peak;
      EXPECT_LE(peak, recompute ? usual_peak * 3 / 4 : usual_peak) << name;
    }
  }
  EXPECT_FALSE(RecomputeScope::active());
}

TEST(PixelClassifier, NamesMakeNetworksForThirtyTwoPixels) {
  const SkipInit skip;
  const char* const names[] = {"dense", "window", "linear", "linformer", "s4", "mamba"};
  for (size_t i = 0; i < std::size(names); ++i) {
    const auto made = create_model(fmt::format("fovea_pixels_{}", names[i]));
    EXPECT_EQ(dynamic_cast<PixelClassifierImpl&>(*made.model).options.mixer.kind, kMixers[i]) << names[i];
    EXPECT_EQ(made.info.family, "pixels");
    EXPECT_EQ(made.info.num_classes, 2);
    const TokenGrid grid = made.model->grid(32, 32);
    EXPECT_EQ(grid.height * grid.width, 1024);
  }
}

TEST(PixelClassifier, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(PixelClassifier({.depth = 1}), ErrorKind::usage, "height 0");
  EXPECT_ERROR(PixelClassifier({.mixer = {.height = 4, .width = 4, .dim = 3}, .depth = 1}), ErrorKind::usage,
               "not divisible by heads 2");
  PixelClassifier model(small(PixelMixer::dense));
  EXPECT_ERROR(model->forward(at::zeros({1, 1, 5, 4})), ErrorKind::data, "made for 4x5");
  EXPECT_ERROR(model->forward(at::zeros({1, 3, 4, 5})), ErrorKind::data, "[B,1,h,w]");
}

}  // namespace
}  // namespace fovea::testing
