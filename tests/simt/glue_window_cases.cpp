// The way from tensors to the CUDA kernels of windows and back: outputs and gradients against the formula in float64.
#include "fovea/modules/window/relative_bias.h"
#include "fovea/modules/window/window_attention.h"
#include "fovea/tests/simt/glue.h"

namespace fovea::testing {
namespace {

enum class Bias { none, table, heads, windows };

struct GridCase : GlueCase {
  explicit GridCase(uint64_t seed) : GlueCase(seed) {
    Draws pick(seed);
    args.heads = pick({1, 2, 3});
    args.window = {pick({1, 2, 3, 4, 7}), pick({1, 2, 3, 4, 7})};
    args.shift = {pick({0, args.window[0] / 2}), pick({0, args.window[1] / 2})};
    args.pad_first = pick({0, 1}) == 1;
    if (pick({0, 1, 2}) == 0) args.scale = 0.3;
    const int64_t d = pick({1, 3, 8, 16, 32}), batch = pick({1, 2}), h = pick({1, 4, 7, 9}), w = pick({2, 5, 8});
    const int64_t columns = 3 * args.heads * d, places = args.window[0] * args.window[1];
    qkv = at::randn({batch, h, w, columns}).to(type);
    if (pick({0, 1}) == 1) {  // unaligned, and strided along every dimension but the columns
      qkv = at::randn({batch + 1, h + 2, w + 3, columns + 5}).to(type);
      qkv = qkv.narrow(0, 1, batch).narrow(1, 1, h).narrow(2, 2, w).narrow(3, 3, columns);
    }
    if (pick({0, 1}) == 1) pad_row = at::randn({columns}).to(type);
    kind = static_cast<Bias>(pick({0, 1, 1, 2, 3}));
    if (kind == Bias::table) {
      bias = at::randn({(2 * args.window[0] - 1) * (2 * args.window[1] - 1), args.heads});
      args.bias_index = on_device(relative_position_index(args.window[0], args.window[1]));
    } else if (kind == Bias::heads) {
      bias = at::randn({args.heads, places, places});
    } else if (kind == Bias::windows) {
      bias = at::randn({window_layout(h, w, args).windows(), args.heads, places, places});
    }
    if (bias.defined()) bias = bias.to(type);
    name = fmt::format("seed {} {} qkv [{}] heads {} window {}x{} shift {}x{} bias {}", seed, toString(type),
                       fmt::join(qkv.sizes(), ","), args.heads, args.window[0], args.window[1], args.shift[0],
                       args.shift[1], static_cast<int>(kind));
  }

  std::vector<at::Tensor> results(at::ScalarType computed, const char* backend) const {
    const bool each_window = kind == Bias::windows;  // a bias of every window has no gradient
    return outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          auto with = args;
          with.backend = backend;
          with.pad_row = in[1];
          (kind == Bias::table ? with.bias_table : with.bias) = each_window ? on_device(bias.to(computed)) : in[2];
          return {window_attention(in[0], with)};
        },
        in_type({qkv, pad_row, each_window ? at::Tensor() : bias}, computed));
  }

  at::Tensor qkv, pad_row, bias;
  Bias kind = Bias::none;
  WindowArgs args;
};

FOVEA_CASE(WindowGlue, EqualsTheFormulaOnSeededCases) {
  expect_formula<GridCase>(0, case_count(45), std::mem_fn(&GridCase::results));
}

FOVEA_CASE(WindowGlue, GradientsCanBeDifferentiatedAgain) {
  at::manual_seed(3);
  const auto qkv = on_device(at::randn({1, 3, 4, 6}));
  expect_second_gradient(
      [](const at::Tensor& leaf, const char* backend) {
        return window_attention(leaf, {.heads = 1, .window = {2, 2}, .shift = {1, 1}, .backend = backend});
      },
      qkv);
}

// With values of one window that are the unit vectors the output is the weights.
FOVEA_CASE(WindowGlue, DropoutIsTheSameInBothPasses) {
  constexpr double kShare = 0.3;
  at::manual_seed(1);
  const auto qk = on_device(at::randn({2, 4, 4, 32}));
  const auto call = [&](const at::Tensor& values) {
    at::manual_seed(7);
    return window_attention(at::cat({qk, values}, 3),
                            {.heads = 1, .window = {4, 4}, .dropout = kShare, .backend = "cuda"});
  };
  const auto unit = on_device(at::eye(16).view({1, 4, 4, 16})).expand({2, 4, 4, 16});
  const auto weights = call(unit).to(at::kDouble).view({2, 16, 16});
  const auto kept = weights.gt(0).to(at::kDouble);
  expect(std::abs(kept.mean().item<double>() - (1 - kShare)) < 0.06, "another share is left out");

  const auto f = [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    if (in[0].scalar_type() != at::kDouble) return {call(in[0]).view({2, 16, 16})};
    return {at::matmul(weights, in[0].view({2, 16, 16}))};
  };
  const auto values = on_device(at::randn({2, 4, 4, 16}));
  const auto exact = outputs_and_gradients(f, {values.to(at::kDouble)}), got = outputs_and_gradients(f, {values});
  for (size_t i = 0; i < got.size(); ++i) expect(largest_error(got[i], exact[i]) < 1e-5, fmt::format("result {}", i));
}

}  // namespace
}  // namespace fovea::testing
