#include "fovea/modules/kernels/cuda/window.h"
#include "fovea/tests/simt/window_oracle.h"

namespace fovea::kernels::testing {
namespace {

constexpr Number kTypes[] = {Number::float32, Number::bfloat16, Number::float16};

WindowShape random_shape(Random& random, uint64_t seed) {
  WindowShape s{.type = kTypes[seed % 3],
                .batch = random.pick({1, 1, 2}),
                .height = random.pick({1, 2, 3, 5, 7, 8}),
                .width = random.pick({1, 2, 4, 6, 7, 9}),
                .window_height = random.pick({1, 2, 3, 4, 7}),
                .window_width = random.pick({1, 2, 3, 4, 7}),
                .pad_first = random.coin(),
                .has_pad_row = random.coin(),
                .strided = random.pick({0, 0, 1}) == 1,
                .heads = random.pick({1, 2, 3}),
                .head_width = random.pick({1, 8, 16, 20, 32, 40}),
                .bias = static_cast<BiasKind>(random.pick({0, 1, 1, 2, 3, 4})),
                .dropout = random.pick({0, 0, 1}) == 1 ? 0.3 : 0.0};
  s.shift_height = random.coin() ? s.window_height / 2 : 0;
  s.shift_width = random.coin() ? s.window_width / 2 : 0;
  if (seed % 30 == 0)
    s.window_height = 9, s.window_width = 8, s.head_width = 8, s.height = 9;  // more than a block's rows
  return s;
}

void forward(WindowCase& c) {
  start(cuda::window_forward(c.call(), c.out.pointer(), c.log_sum.data<float>(), nullptr));
}

void backward(WindowCase& c) {
  const auto bytes = cuda::window_workspace(c.call(), c.gradients());
  const Array workspace(Number::float32, static_cast<int64_t>(bytes / sizeof(float)));
  start(cuda::window_backward(c.call(), {c.out.pointer(), c.log_sum.data<float>()}, c.gradients(), workspace.pointer(),
                              nullptr));
  if (c.gradients().grad_bias == nullptr) return;
  start(cuda::window_table_gradient(c.call(), c.grad_bias.data<float>(), c.table_rows(), c.grad_table.data<float>(),
                                    nullptr));
}

// The sum over the parts of a gradient.
std::vector<double> total(const Array& parts) {
  const auto all = parts.read();
  std::vector<double> sum(all.size() / kWindowParts, 0.0);
  for (size_t i = 0; i < all.size(); ++i) sum[i % sum.size()] += all[i];
  return sum;
}

FOVEA_CASE(Window, EqualsItsStepsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(210); ++seed) {
    shuffle_threads(seed);
    Random random(seed);
    WindowCase c(random_shape(random, seed), seed);
    forward(c);
    const WindowExpected x = oracle(c);
    expect_near(c.out.read(), x.out, c.shape.type, static_cast<double>(c.shape.head_width),
                std::to_string(seed) + ": " + c.name(), x.plain);
  }
}

FOVEA_CASE(Window, GradientsEqualTheirStepsOnSeededCases) {
  for (uint64_t seed = 1000; seed < 1000 + case_count(200); ++seed) {
    shuffle_threads(seed);
    Random random(seed);
    WindowCase c(random_shape(random, seed), seed);
    forward(c);
    backward(c);
    const WindowExpected x = oracle(c);
    const std::string name = std::to_string(seed) + ": " + c.name();
    const WindowCall sizes = c.sizes();
    const double depth = 9.0 * static_cast<double>(2 * sizes.places() + c.shape.head_width);
    const double all = 2 * depth * static_cast<double>(sizes.batch * sizes.windows());  // these are sums over windows
    expect_near(c.grad_qkv.read(), x.grad_qkv, c.shape.type, depth, name + " grad_qkv");
    expect_near(total(c.grad_pad), x.grad_pad, c.shape.type, all, name + " grad_pad");
    if (c.shape.bias == BiasKind::windows) continue;
    expect_near(total(c.grad_bias), x.grad_bias, c.shape.type, all, name + " grad_bias");
    expect_near(c.grad_table.read(), x.grad_table, c.shape.type, all, name + " grad_table");
  }
}

// 7 × 7 windows of 32 columns, shifted by 3, of a grid that they do not fill; and windows of 12.
FOVEA_CASE(Window, WidthsAndWindowsOfPublishedNetworks) {
  for (const Number type : kTypes) {
    for (const int64_t side : {7, 12}) {
      WindowCase c({.type = type,
                    .height = side + 2,
                    .width = side,
                    .window_height = side,
                    .window_width = side,
                    .shift_height = side / 2,
                    .shift_width = side / 2,
                    .heads = 1,
                    .head_width = 32,
                    .bias = BiasKind::table},
                   7);
      forward(c);
      backward(c);
      const WindowExpected x = oracle(c);
      expect_near(c.out.read(), x.out, type, 32, c.name());
      const double depth = 9.0 * static_cast<double>(2 * side * side + 32);
      expect_near(c.grad_qkv.read(), x.grad_qkv, type, depth, c.name() + " grad_qkv");
      expect_near(c.grad_table.read(), x.grad_table, type, depth, c.name() + " grad_table");
    }
  }
}

FOVEA_CASE(Window, RepeatsToTheBit) {
  for (const Number type : kTypes) {
    std::vector<std::vector<unsigned char>> first;
    for (uint64_t times = 0; times < 50; ++times) {
      shuffle_threads(times);
      WindowCase c({.type = type,
                    .batch = 2,
                    .height = 5,
                    .width = 3,
                    .window_height = 3,
                    .window_width = 3,
                    .shift_height = 1,
                    .shift_width = 1,
                    .has_pad_row = true,
                    .heads = 2,
                    .head_width = 8,
                    .bias = BiasKind::table},
                   6);
      forward(c);
      backward(c);
      std::vector<std::vector<unsigned char>> results;
      for (const Array* each : {&c.out, &c.grad_qkv, &c.grad_pad, &c.grad_table}) results.push_back(each->bits());
      if (first.empty()) first = results;
      expect(results == first, std::string(name_of(type)) + " differs");
    }
  }
}

}  // namespace
}  // namespace fovea::kernels::testing
