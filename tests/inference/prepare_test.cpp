#include "fovea/modules/inference/prepare.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea {
namespace {

using testing::relative_error;

struct Probe : Module<Probe> {
  void reset() override {}
  void pack() override { ++packs; }
  int packs = 0;
};

TEST(PrepareForInference, PacksEveryModuleOfAModelThatNoSharedPointerOwns) {
  Probe model;
  const auto child = model.register_module("child", std::make_shared<Probe>());
  const auto grandchild = child->register_module("child", std::make_shared<Probe>());
  prepare_for_inference(model);
  EXPECT_FALSE(model.is_training());
  EXPECT_FALSE(grandchild->is_training());
  EXPECT_EQ(model.packs, 1);
  EXPECT_EQ(child->packs, 1);
  EXPECT_EQ(grandchild->packs, 1);
}

// The layout of a packed weight suits the first input; those of other sizes are answered as exactly.
TEST(PrepareForInference, LeavesTheSizesOfLaterInputsFree) {
  at::manual_seed(1);
  const double bound = testing::tolerance(at::kFloat);  // sums of 432 products in two orders
  Linear linear({.in_features = 48, .out_features = 40});
  Conv2d conv({.in_channels = 48, .out_channels = 40, .kernel = 3, .stride = 2, .padding = 1});
  const c10::InferenceMode inference;
  prepare_for_inference(*linear);
  conv->eval();
  conv->pack_with(nullptr);
  for (const int64_t side : {7, 1, 32, 7}) {
    const at::Tensor rows = at::randn({side * side, 48});
    EXPECT_LE(relative_error(linear->forward(rows), at::linear(rows, linear->weight, linear->bias)), bound) << side;
    const at::Tensor image = at::randn({side % 5, 48, side, side});
    EXPECT_LE(relative_error(conv_norm(conv.ptr(), nullptr, image), at::conv2d(image, conv->weight, conv->bias, 2, 1)),
              bound)
        << side;
  }
}

}  // namespace
}  // namespace fovea
