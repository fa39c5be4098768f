#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/window.h"
#include "fovea/modules/window/window_attention.h"
#include "fovea/tests/kernels/cases.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

at::Tensor run(const WindowCase& c, const char* backend) {
  auto args = c.args;
  args.backend = backend;
  return window_attention(c.qkv, args);
}

TEST(WindowKernel, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    WindowCase c(seed + 500);
    if (seed % 3 == 0) {  // unaligned, and strided along every dimension but the columns
      const auto s = c.qkv.sizes();
      auto whole = at::randn({s[0] + 1, s[1] + 2, s[2] + 3, s[3] + 5}).to(c.type);
      whole = whole.narrow(0, 1, s[0]).narrow(1, 1, s[1]).narrow(2, 2, s[2]).narrow(3, 3, s[3]);
      whole.copy_(c.qkv);
      c.qkv = whole;
    }
    const auto expected = oracle(c.qkv, c.args, c.layout).output;
    const double bound = std::max(2 * largest_error(run(c, "reference"), expected),
                                  error_floor(expected.to(c.type), c.qkv.size(3) / 3 / c.args.heads));
    ASSERT_LE(largest_error(run(c, "cpu"), expected), bound) << seed << ": " << c.name();
  }
}

TEST(WindowKernel, GradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(120); ++seed) {
    WindowCase c(seed + 2'000'000);
    const auto gradients = [&](at::ScalarType computed, const char* backend) {
      auto args = c.args;
      args.backend = backend;
      std::vector<at::Tensor> leaves = {c.qkv.detach().to(computed).clone().requires_grad_()};
      for (auto* t : {&args.bias_table, &args.pad_row}) {
        if (t->defined()) leaves.push_back(*t = t->detach().to(computed).clone().requires_grad_());
      }
      const auto out = window_attention(leaves[0], args);
      const auto weights = at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes());
      (out * weights.to(computed)).sum().backward();
      std::vector<at::Tensor> grads;
      for (const auto& leaf : leaves) grads.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
      return grads;
    };
    const auto expected = gradients(at::kDouble, "reference"), plain = gradients(c.type, "reference"),
               got = gradients(c.type, "cpu");
    for (size_t i = 0; i < got.size(); ++i) {
      const double bound =
          std::max(3 * largest_error(plain[i], expected[i]), 3 * error_floor(expected[i].to(c.type), 64));
      ASSERT_LE(largest_error(got[i], expected[i]), bound) << seed << ": " << c.name() << " gradient " << i;
    }
  }
}

TEST(WindowKernel, GradientsEqualCentralDifferences) {
  struct Shape {
    int64_t batch, h, w;
    std::array<int64_t, 2> window, shift;
    bool pad_first;
    bool table;
  };
  for (const auto& s : std::vector<Shape>{{1, 1, 1, {1, 1}, {0, 0}, false, true},
                                          {2, 4, 4, {2, 2}, {1, 1}, false, true},
                                          {1, 3, 5, {2, 3}, {1, 0}, false, false},
                                          {1, 3, 5, {2, 3}, {1, 2}, true, true},
                                          {2, 2, 3, {4, 2}, {2, 1}, true, false}}) {
    at::manual_seed(s.h * 10 + s.w);
    const int64_t offsets = (2 * s.window[0] - 1) * (2 * s.window[1] - 1), places = s.window[0] * s.window[1];
    const auto f = [&](const std::vector<at::Tensor>& in) {
      WindowArgs args{.heads = 2, .window = s.window, .shift = s.shift, .pad_first = s.pad_first};
      if (s.table) {
        args.bias_table = in[1];
        args.bias_index = relative_position_index(s.window[0], s.window[1]);
      } else {
        args.bias = in[1];
      }
      args.pad_row = in[2];
      args.backend = "cpu";
      return window_attention(in[0], args);
    };
    const auto bias = s.table ? at::randn({offsets, 2}, at::kDouble) : at::randn({2, places, places}, at::kDouble);
    EXPECT_LE(gradient_error(f, {at::randn({s.batch, s.h, s.w, 6}, at::kDouble), bias, at::randn({6}, at::kDouble)}),
              1e-5)
        << s.h << "x" << s.w;
  }
}

TEST(WindowKernel, GradientsCanBeDifferentiatedAgain) {
  at::manual_seed(3);
  const auto gradient_of = [](const std::vector<at::Tensor>& in) {
    const at::AutoGradMode differentiate(true);
    const auto out = window_attention(in[0], {.heads = 1,
                                              .window = {2, 2},
                                              .shift = {1, 1},
                                              .bias_table = in[1],
                                              .bias_index = relative_position_index(2, 2),
                                              .backend = "cpu"});
    return torch::autograd::grad({out.pow(3).sum()}, {in[0]}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
  };
  EXPECT_LE(gradient_error(gradient_of, {at::randn({1, 3, 4, 6}, at::kDouble), at::randn({9, 1}, at::kDouble)}), 1e-5);
}

// The widths of Swin (d = 32, 49 places) and some that fill no vector, windows of more places than are held at once.
TEST(WindowKernel, WidthsAndWindowsOfPublishedNetworks) {
  for (const int64_t d : {32, 40, 111}) {
    for (const int64_t side : {7, 12}) {
      at::manual_seed(d + side);
      const auto qkv = at::randn({2, 2 * side, 3 * side - 1, 3 * 2 * d});
      WindowArgs args{.heads = 2, .window = {side, side}, .shift = {side / 2, side / 2}};
      args.bias_table = at::randn({(2 * side - 1) * (2 * side - 1), 2});
      args.bias_index = relative_position_index(side, side);
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        args.backend = "reference";
        const auto x = qkv.to(type);
        const auto expected = window_attention(x.to(at::kDouble), args);
        args.backend = "cpu";
        EXPECT_LE(largest_error(window_attention(x, args), expected), error_floor(expected.to(type), d)) << d;
      }
    }
  }
}

TEST(WindowKernel, RepeatsToTheBit) {
  at::manual_seed(5);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto qkv = at::randn({2, 17, 13, 3 * 3 * 40}).to(type), table = at::randn({169, 3}).to(type),
               pad = at::randn({3 * 3 * 40}).to(type);
    EXPECT_TRUE(repeats([&] {
      std::vector<at::Tensor> leaves;
      for (const auto& t : {qkv, table, pad}) leaves.push_back(t.detach().clone().requires_grad_());
      const auto out = window_attention(leaves[0], {.heads = 3,
                                                    .window = {7, 7},
                                                    .shift = {3, 3},
                                                    .bias_table = leaves[1],
                                                    .bias_index = relative_position_index(7, 7),
                                                    .pad_row = leaves[2],
                                                    .backend = "cpu"});
      out.sum().backward();
      return std::vector<at::Tensor>{out.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
    }));
  }
}

// Rolled, padded or partitioned, qkv alone would be three outputs more.
TEST(WindowKernel, AllocatesNothingButItsOutput) {
  const at::NoGradGuard no_grad;
  const auto qkv = at::randn({8, 52, 52, 3 * 96}), pad = at::randn({3 * 96});
  WindowArgs args{.heads = 3, .window = {7, 7}, .shift = {3, 3}};
  args.bias_table = at::randn({169, 3});
  args.bias_index = relative_position_index(7, 7);
  args.pad_row = pad;
  args.backend = "cpu";
  window_attention(qkv.narrow(0, 0, 1), args);  // working memory of the threads, which they keep
  const double most = most_memory_of([&] { window_attention(qkv, args); });
  EXPECT_LT(most, 1.2 * static_cast<double>(qkv.nbytes()) / 3);
}

// The layer turns an empty batch away before; whoever calls the kernel itself gets nothing done, and no crash.
TEST(WindowKernel, EmptyBatchWritesNothing) {
  const auto qkv = at::randn({8, 8, 3 * 2 * 32});
  kernels::WindowCall call{.batch = 0, .height = 8, .width = 8, .window_height = 7, .window_width = 7, .heads = 2};
  call.head_width = 32;
  call.qkv = qkv.const_data_ptr();
  call.token_stride = qkv.stride(1);
  call.row_stride = qkv.stride(0);
  float untouched = 7;
  kernels::window_forward(call, &untouched, cpu::runtime());
  EXPECT_EQ(untouched, 7);
}

TEST(WindowKernel, SaysWhyItRefuses) {
  const auto reason = [](const at::Tensor& qkv, const WindowArgs& args) {
    const auto text = explain_window_backend(qkv, args);
    return text.substr(0, text.find('\n'));
  };
  const auto qkv = at::randn({1, 4, 4, 6});
  EXPECT_EQ(reason(qkv, {.heads = 2, .window = {2, 2}}), "cpu: runs");
  EXPECT_EQ(reason(qkv, {.heads = 2, .window = {2, 2}, .dropout = 0.5}), "cpu: runs");
  EXPECT_EQ(reason(at::randn({1, 4, 4, 771}), {.heads = 1, .window = {2, 2}}), "cpu: head width 257, over 256");
  WindowArgs each{.heads = 2, .window = {2, 2}, .shift = {1, 1}};
  each.bias = at::zeros({4, 2, 4, 4}).requires_grad_();
  EXPECT_EQ(reason(qkv, each), "cpu: the gradient of a bias for each window");
}

}  // namespace
}  // namespace fovea::testing
