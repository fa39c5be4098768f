#include "fovea/modules/window/window_attention.h"

#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

TEST(WindowAttention, EveryBackendEqualsLoopsOnSeededShapes) {
  for (uint64_t seed = 0; seed < 240; ++seed) {
    WindowCase c(seed);
    const auto expected = oracle(c.qkv, c.args, c.layout).output;
    for (const char* backend : {"cpu", "sdpa", "reference"}) {
      c.args.backend = backend;
      const auto output = window_attention(c.qkv, c.args);
      EXPECT_EQ(output.scalar_type(), c.type);
      EXPECT_LE(relative_error(output, expected), tolerance(c.type)) << seed << " " << backend << ": " << c.name();
    }
  }
}

TEST(WindowAttention, TablesAndReadyBiasChangeNothing) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    WindowCase c(seed);
    const auto expected = window_attention(c.qkv, c.args);
    const auto tables = window_tables(c.layout);
    c.args.tables = &tables;
    EXPECT_TRUE(at::equal(window_attention(c.qkv, c.args), expected)) << c.name();
    const auto others = window_tables({3, 4, 2, 2, 1, 1, false});  // of another layout: not used
    c.args.tables = &others;
    EXPECT_TRUE(at::equal(window_attention(c.qkv, c.args), expected)) << c.name();
    if (!c.args.bias_table.defined()) continue;
    const auto bias = relative_position_bias(c.args.bias_table, c.args.bias_index);
    c.args.bias_table = c.args.bias_index = at::Tensor();
    c.args.bias = bias;
    EXPECT_TRUE(at::equal(window_attention(c.qkv, c.args), expected)) << c.name();
    c.args.bias = tables.mask.defined() ? bias + tables.mask.to(c.type).unsqueeze(1) : bias.unsqueeze(0);
    EXPECT_TRUE(at::equal(window_attention(c.qkv, c.args), expected)) << c.name();
  }
}

// Images are taken some at a time: 602 kB each, so six of eight, then two.
TEST(WindowAttention, ImagesOfABatchAreIndependent) {
  at::manual_seed(5);
  for (const int64_t shift : {0, 3}) {
    const auto qkv = at::randn({8, 28, 28, 3 * 64});
    WindowArgs args{.heads = 2, .window = {7, 7}, .shift = {shift, shift}};
    args.bias_table = at::randn({169, 2});
    args.bias_index = relative_position_index(7, 7);
    const auto together = window_attention(qkv, args);
    for (int64_t image = 0; image < 8; ++image) {
      EXPECT_TRUE(at::equal(window_attention(qkv.narrow(0, image, 1), args), together.narrow(0, image, 1))) << image;
    }
    args.backend = "reference";
    EXPECT_LE(relative_error(together, window_attention(qkv, args)), 1e-5);
  }
}

TEST(WindowAttention, StridesDoNotMatter) {
  at::manual_seed(2);
  WindowArgs args{.heads = 2, .window = {3, 4}, .shift = {1, 2}};
  const auto whole = at::randn({4, 2, 7, 48, 9});
  const auto strided = whole.permute({0, 2, 4, 3, 1}).select(4, 1);  // [4,7,9,48]
  const auto channels_first = at::randn({2, 24, 5, 6}).permute({0, 2, 3, 1});
  const auto expanded = at::randn({1, 5, 6, 24}).expand({3, -1, -1, -1});
  for (const auto& x : {strided, channels_first, expanded, at::randn({2, 9, 9, 24}).narrow(1, 2, 5).narrow(3, 6, 12)}) {
    for (const char* backend : {"cpu", "sdpa", "reference"}) {
      args.backend = backend;
      EXPECT_TRUE(at::equal(window_attention(x, args), window_attention(x.contiguous(), args)));
    }
  }
}

TEST(WindowAttention, EmptyBatchAndSingleToken) {
  const auto none = window_attention(at::zeros({0, 8, 8, 12}), {.heads = 2, .window = {4, 4}, .shift = {2, 2}});
  EXPECT_EQ(none.sizes(), at::IntArrayRef({0, 8, 8, 4}));
  const auto one = at::randn({1, 1, 1, 6});
  const auto alone = window_attention(one, {.heads = 1, .window = {1, 1}});
  EXPECT_LE(relative_error(alone, one.narrow(3, 4, 2)), 1e-6);
}

TEST(WindowAttention, GradientsEqualCentralDifferences) {
  struct Shape {
    int64_t batch, h, w;
    std::array<int64_t, 2> window, shift;
    bool pad_first;
  };
  for (const auto& s : std::vector<Shape>{{1, 1, 1, {1, 1}, {0, 0}, false},
                                          {2, 4, 4, {2, 2}, {1, 1}, false},
                                          {1, 3, 5, {2, 3}, {1, 0}, false},
                                          {1, 3, 5, {2, 3}, {1, 2}, true},
                                          {2, 2, 3, {4, 2}, {2, 1}, true}}) {
    at::manual_seed(s.h * 10 + s.w);
    const int64_t offsets = (2 * s.window[0] - 1) * (2 * s.window[1] - 1);
    const auto error = gradient_error(
        [&](const std::vector<at::Tensor>& in) {
          return window_attention(in[0], {.heads = 2,
                                          .window = s.window,
                                          .shift = s.shift,
                                          .pad_first = s.pad_first,
                                          .bias_table = in[1],
                                          .bias_index = relative_position_index(s.window[0], s.window[1]),
                                          .pad_row = in[2],
                                          .backend = "reference"});
        },
        {at::randn({s.batch, s.h, s.w, 6}, at::kDouble), at::randn({offsets, 2}, at::kDouble),
         at::randn({6}, at::kDouble)});
    EXPECT_LE(error, 1e-5);
  }
}

TEST(WindowAttention, DropoutKeepsTheExpectation) {
  at::manual_seed(3);
  const auto qkv = at::randn({1, 4, 4, 12}, at::kDouble);
  WindowArgs args{.heads = 2, .window = {4, 4}};
  const auto expected = window_attention(qkv, args);
  args.dropout = 0.3;
  const auto draws = window_attention(qkv.expand({4000, -1, -1, -1}), args);
  EXPECT_LE(relative_error(draws.mean(0, /*keepdim=*/true), expected), 0.05);
  EXPECT_FALSE(at::equal(draws[0], draws[1]));
}

TEST(WindowAttention, SaysWhichBackendRuns) {
  auto qkv = at::randn({1, 4, 4, 12});
  const WindowArgs args{.heads = 2, .window = {2, 2}};
  EXPECT_EQ(explain_window_backend(qkv, args),
            "cpu: runs\ncuda: not on a GPU\nsdpa: could run\nreference: could run\n");
  WindowArgs dropped = args;
  dropped.dropout = 0.1;
  EXPECT_EQ(explain_window_backend(qkv, dropped),
            "cpu: runs\ncuda: not on a GPU\nsdpa: dropout\nreference: could run\n");
  EXPECT_EQ(explain_window_backend(at::zeros({0, 4, 4, 12}), args),
            "cpu: a dimension is empty\ncuda: not on a GPU\nsdpa: a dimension is empty\nreference: runs\n");
  qkv.requires_grad_();
  EXPECT_EQ(explain_window_backend(qkv, args),
            "cpu: runs\ncuda: not on a GPU\nsdpa: gradients (its bias has none)\nreference: could run\n");
  {
    const at::NoGradGuard no_grad;
    EXPECT_EQ(explain_window_backend(qkv, args),
              "cpu: runs\ncuda: not on a GPU\nsdpa: could run\nreference: could run\n");
  }
  WindowArgs wanted = args;
  wanted.backend = "sdpa";
  EXPECT_ERROR(window_attention(qkv, wanted), ErrorKind::usage, "sdpa refuses: gradients");
  wanted.backend = "warp";
  EXPECT_ERROR(window_attention(qkv, wanted), ErrorKind::usage, "cpu, cuda, sdpa, reference");
}

TEST(WindowAttention, RefusesWhatDoesNotFit) {
  const auto qkv = at::zeros({2, 8, 8, 12});
  const WindowArgs good{.heads = 2, .window = {4, 4}, .shift = {2, 2}};
  const auto with = [&](auto change) {
    WindowArgs args = good;
    change(args);
    return args;
  };
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.heads = 0; })), ErrorKind::usage, "heads 0");
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.heads = 3; })), ErrorKind::data, "[2,8,8,12]");
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.window = {0, 4}; })), ErrorKind::usage, "window 0x4");
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.shift = {2, 4}; })), ErrorKind::usage, "shift 2x4");
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.shift = {-1, 0}; })), ErrorKind::usage, "shift -1x0");
  EXPECT_ERROR(window_attention(qkv, with([](auto& a) { a.dropout = 1; })), ErrorKind::usage, "dropout 1");
  EXPECT_ERROR(window_attention({}, good), ErrorKind::data, "undefined");
  EXPECT_ERROR(window_attention(at::zeros({8, 8, 12}), good), ErrorKind::data, "[8,8,12]");
  EXPECT_ERROR(window_attention(at::zeros({2, 0, 8, 12}), good), ErrorKind::data, "[2,0,8,12]");
  EXPECT_ERROR(window_attention(at::zeros({2, 8, 8, 12}, at::kLong), good), ErrorKind::data, "Long");
  EXPECT_ERROR(window_attention(at::zeros({2, 8, 8, 12}, at::kComplexFloat), good), ErrorKind::data, "floating");

  const auto table = at::zeros({49, 2});
  const auto index = relative_position_index(4, 4);
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) { a.bias_table = table; })), ErrorKind::usage, "bias_index");
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) {
                                  a.bias_table = at::zeros({169, 2});
                                  a.bias_index = index;
                                })),
               ErrorKind::data, "[49,2] for 2 heads and windows of 4x4, got [169,2]");
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) {
                                  a.bias_table = table;
                                  a.bias_index = index.to(at::kInt);
                                })),
               ErrorKind::data, "int64 [16,16], got Int [16,16]");
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) {
                                  a.bias_table = table.to(at::kMeta);
                                  a.bias_index = index;
                                })),
               ErrorKind::data, "meta");
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) {
                                  a.bias_table = table;
                                  a.bias_index = index;
                                  a.bias = at::zeros({2, 16, 16});
                                })),
               ErrorKind::usage, "both");
  // [1,…] has no shift mask in it, so it does not do for shifted windows.
  for (const auto& bias :
       {at::zeros({2, 15, 16}), at::zeros({1, 2, 16, 16}), at::zeros({16, 16}), at::zeros({5, 2, 16, 16})}) {
    EXPECT_ERROR(window_attention(qkv, with([&](auto& a) { a.bias = bias; })), ErrorKind::data,
                 fmt::format("[4,2,16,16], got [{}]", fmt::join(bias.sizes(), ",")));
  }
  EXPECT_ERROR(window_attention(qkv, with([&](auto& a) { a.pad_row = at::zeros({4}); })), ErrorKind::data,
               "pad_row [12] for qkv [2,8,8,12], got [4]");
}

}  // namespace
}  // namespace fovea::testing
