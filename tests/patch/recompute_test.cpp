// Gradient checkpointing against the same blocks run as usual.
#include "fovea/modules/recompute.h"

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/conv2d.h"
#include "fovea/modules/patch/block.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/error_of.h"
#include "fovea/tests/support/gradcheck.h"

namespace fovea::testing {
namespace {

using ::testing::HasSubstr;

struct StackOptions {
  int64_t depth = 0;
  bool recompute = false;
};

// Pre-LN blocks with every kind of dropout.
class StackImpl : public Module<StackImpl> {
 public:
  explicit StackImpl(const StackOptions& options) : options(options) { reset(); }
  void reset() override {
    blocks.clear();
    for (int64_t i = 0; i < options.depth; ++i) {
      blocks.push_back(
          register_module(std::to_string(i),
                          PreNormBlock({.dim = 16, .heads = 2, .attn_drop = 0.2, .proj_drop = 0.2, .drop_path = 0.3})));
    }
  }
  at::Tensor forward(const at::Tensor& x) {
    const TokenGridScope scope({.height = 3, .width = 5});
    auto y = x;
    for (auto& block : blocks) y = options.recompute ? recompute_in_backward(block, y) : block->forward(y);
    return y;
  }

  StackOptions options;
  std::vector<PreNormBlock> blocks;
};
FOVEA_MODULE(Stack);

struct Outcome {
  at::Tensor output, next_random;
  std::vector<at::Tensor> gradients;  // of the parameters, then of x
};

Outcome run(Stack& stack, bool recompute, const at::Tensor& x) {
  stack->options.recompute = recompute;
  stack->zero_grad();
  at::manual_seed(5);
  const auto leaf = x.detach().clone().requires_grad_(x.requires_grad());
  const auto output = stack->forward(leaf);
  output.square().sum().backward();
  Outcome outcome{.output = output.detach(), .next_random = at::rand({3})};
  for (const auto& parameter : stack->parameters()) outcome.gradients.push_back(parameter.grad().clone());
  if (leaf.requires_grad()) outcome.gradients.push_back(leaf.grad());
  return outcome;
}

TEST(RecomputeInBackward, GivesTheSameBitsWithDropout) {
  at::manual_seed(1);
  Stack stack({.depth = 3});
  for (const bool input_too : {true, false}) {
    const auto x = at::randn({4, 15, 16}).set_requires_grad(input_too);
    const auto usual = run(stack, false, x), recomputed = run(stack, true, x);
    EXPECT_TRUE(at::equal(usual.output, recomputed.output));
    EXPECT_TRUE(at::equal(usual.next_random, recomputed.next_random));
    ASSERT_EQ(usual.gradients.size(), recomputed.gradients.size());
    for (size_t i = 0; i < usual.gradients.size(); ++i) {
      EXPECT_GT(usual.gradients[i].abs().max().item<double>(), 0) << i;
      EXPECT_TRUE(at::equal(usual.gradients[i], recomputed.gradients[i])) << i;
    }
  }
  Stack still({.depth = 2, .recompute = true});
  still->eval();
  EXPECT_LE(module_gradient_error(*still, at::randn({1, 3, 16}, at::kDouble)), 1e-5);
}

// Blocks keep their insides in one case, their inputs in the other.
TEST(RecomputeInBackward, TakesTheMemoryOfOneBlock) {
  Stack stack({.depth = 8});
  const auto peak = [&](bool recompute) {
    const auto x = at::randn({8, 15, 16}).requires_grad_(true);
    run(stack, recompute, x);  // gradients exist from now on
    const AllocatedBytes counted;
    run(stack, recompute, x);
    return static_cast<double>(counted.peak());
  };
  const double usual = peak(false), recomputed = peak(true);
  EXPECT_LT(recomputed, 0.4 * usual) << recomputed << " of " << usual << " bytes";
}

TEST(RecomputeInBackward, RunningStatisticsMoveOnce) {
  at::manual_seed(2);
  BatchNorm2d norm({.channels = 3});
  const auto x = at::randn({4, 3, 2, 2});
  const auto usual = std::dynamic_pointer_cast<BatchNorm2dImpl>(norm->clone());
  usual->forward(x).square().sum().backward();
  recompute_in_backward(norm, x).square().sum().backward();
  EXPECT_TRUE(at::equal(norm->running_mean, usual->running_mean));
  EXPECT_TRUE(at::equal(norm->running_var, usual->running_var));
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
  EXPECT_TRUE(at::equal(norm->weight.grad(), usual->weight.grad()));
}

TEST(RecomputeInBackward, MapsAreRecordedOnceWithTheirGradients) {
  at::manual_seed(3);
  Stack stack({.depth = 2});
  const auto x = at::randn({1, 15, 16});
  for (const bool gradients : {false, true}) {
    std::vector<std::vector<AttentionMap>> all;
    for (const bool recompute : {false, true}) {
      AttentionRecorder recorder(*stack, {.gradients = gradients, .outputs = R"(1\.norm1)"});
      run(stack, recompute, x);
      ASSERT_EQ(recorder.maps().size(), 2);
      ASSERT_EQ(recorder.outputs().size(), 1);
      EXPECT_TRUE(recorder.outputs()[0].gradient.defined());
      all.push_back(recorder.maps());
    }
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(at::equal(all[0][i].weights, all[1][i].weights));
      EXPECT_EQ(all[1][i].grid.width, 5);
      EXPECT_EQ(all[1][i].gradient.defined(), gradients);
      EXPECT_TRUE(!gradients || at::equal(all[0][i].gradient, all[1][i].gradient));
    }
  }
  // A recorder that wants maps alone, and of the blocks' memory nothing.
  stack->options.recompute = true;
  AttentionRecorder recorder(*stack);
  stack->forward(x).sum().backward();
  EXPECT_EQ(recorder.maps().size(), 2);
}

TEST(RecomputeInBackward, KeepsAutocast) {
  at::manual_seed(4);
  Linear layer({.in_features = 8, .out_features = 8});
  const auto x = at::randn({3, 8}).requires_grad_(true);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto y = recompute_in_backward(layer, x);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.sum().backward();  // the second run is in bfloat16 too, or the types would not fit
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_TRUE(layer->weight.grad().defined());
}

TEST(RecomputeInBackward, RunsAsUsualWithoutGradientsAndRefusesWhatChanged) {
  Stack stack({.depth = 1, .recompute = true});
  const auto x = at::randn({1, 4, 16});
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(stack->forward(x).requires_grad());
  }
  const auto switched = stack->forward(x).sum();
  stack->eval();
  EXPECT_THAT(error_of([&] { switched.backward(); }), HasSubstr("ran in training mode"));
  const auto written = stack->forward(x).sum();
  {
    const at::NoGradGuard no_grad;
    stack->parameters()[0].add_(1);
  }
  EXPECT_THROW(written.backward(), c10::Error);
}

}  // namespace
}  // namespace fovea::testing
