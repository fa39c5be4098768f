#include "fovea/modules/inference/prepare.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {
namespace {

double relative_error(const at::Tensor& ours, const at::Tensor& expected) {
  return ((ours - expected).abs().max() / expected.abs().max()).item<double>();
}

TEST(PrepareForInference, TakesAModelThatNoSharedPointerOwns) {
  LinearImpl layer({.in_features = 8, .out_features = 5});
  const c10::InferenceMode inference;
  const at::Tensor x = at::randn({3, 8});
  const at::Tensor expected = at::linear(x, layer.weight, layer.bias);
  prepare_for_inference(layer);
  EXPECT_FALSE(layer.is_training());
  EXPECT_LE(relative_error(layer.forward(x), expected), 1e-6);
}

// The layout of a packed weight suits the first input; those of other sizes are answered as exactly.
TEST(PrepareForInference, LeavesTheSizesOfLaterInputsFree) {
  Linear linear({.in_features = 48, .out_features = 40});
  Conv2d conv({.in_channels = 48, .out_channels = 40, .kernel = 3, .stride = 2, .padding = 1});
  const c10::InferenceMode inference;
  prepare_for_inference(*linear);
  conv->eval();
  conv->pack_with(nullptr);
  for (const int64_t side : {7, 1, 32, 7}) {
    const at::Tensor rows = at::randn({side * side, 48});
    EXPECT_LE(relative_error(linear->forward(rows), at::linear(rows, linear->weight, linear->bias)), 1e-6) << side;
    const at::Tensor image = at::randn({side % 5, 48, side, side});
    EXPECT_LE(relative_error(conv_norm(conv.ptr(), nullptr, image), at::conv2d(image, conv->weight, conv->bias, 2, 1)),
              1e-6)
        << side;
  }
}

}  // namespace
}  // namespace fovea
