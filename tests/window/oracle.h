// Window attention in plain fp64 loops, from the coordinates of each token: no roll, no padded copy, no partition.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fovea/modules/window/relative_bias.h"
#include "fovea/modules/window/window_attention.h"

namespace fovea::testing {

struct Point {
  int64_t y = 0;
  int64_t x = 0;
};

// Which token stands at row and column of the padded grid after shift and padding; y = −1 for none.
inline Point token_at(int64_t row, int64_t column, const WindowLayout& l) {
  if (l.strided) {
    return {row % l.window_height * (l.height / l.window_height) + row / l.window_height,
            column % l.window_width * (l.width / l.window_width) + column / l.window_width};
  }
  const auto side = [&](int64_t at, int64_t length, int64_t padded, int64_t shift) -> int64_t {
    const int64_t around = l.pad_first ? padded : length;
    if (at >= around) return -1;
    const int64_t token = (at + shift) % around;
    return token < length ? token : -1;
  };
  const int64_t down = (l.height + l.window_height - 1) / l.window_height * l.window_height;
  const int64_t across = (l.width + l.window_width - 1) / l.window_width * l.window_width;
  const int64_t y = side(row, l.height, down, l.shift_height);
  const int64_t x = side(column, l.width, across, l.shift_width);
  return y < 0 || x < 0 ? Point{-1, -1} : Point{y, x};
}

// True when the roll brought both places into one window from different borders of the padded grid.
inline bool apart(Point a, Point b, const WindowLayout& l) {
  const int64_t down = (l.height + l.window_height - 1) / l.window_height * l.window_height;
  const int64_t across = (l.width + l.window_width - 1) / l.window_width * l.window_width;
  const auto beyond = [](int64_t at, int64_t length, int64_t shift) { return shift > 0 && at >= length - shift; };
  return beyond(a.y, down, l.shift_height) != beyond(b.y, down, l.shift_height) ||
         beyond(a.x, across, l.shift_width) != beyond(b.x, across, l.shift_width);
}

struct OracleResult {
  at::Tensor output;   // fp64 [B,h,w,C]
  at::Tensor weights;  // fp64 [B·windows,H,W²,W²]
};

// What dropout multiplies a weight with: of a head, counted over all windows, row and column.
using Factor = std::function<double(int64_t head, int64_t row, int64_t column)>;

inline OracleResult oracle(
    const at::Tensor& qkv, const WindowArgs& args, const WindowLayout& l,
    const Factor& factor = [](int64_t, int64_t, int64_t) { return 1.0; }) {
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble).contiguous(); };
  const auto in = wide(qkv);
  const auto x = in.accessor<double, 4>();
  const int64_t batch = in.size(0), heads = args.heads, width = in.size(3) / 3, d = width / heads;
  const int64_t rows = (l.height + l.window_height - 1) / l.window_height;
  const int64_t columns = (l.width + l.window_width - 1) / l.window_width;
  const int64_t places = l.window_height * l.window_width;
  const double scale = args.scale.value_or(1 / std::sqrt(static_cast<double>(d)));
  const bool biased = args.bias_table.defined();
  const auto table = biased ? wide(args.bias_table) : at::zeros({1, 1}, at::kDouble);
  const auto bias = table.accessor<double, 2>();
  const auto pad = args.pad_row.defined() ? wide(args.pad_row) : at::zeros({3 * width}, at::kDouble);
  OracleResult result{at::full({batch, l.height, l.width, width}, NAN, at::kDouble),
                      at::zeros({batch * rows * columns, heads, places, places}, at::kDouble)};
  auto output = result.output.accessor<double, 4>();
  auto weights = result.weights.accessor<double, 4>();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t window = 0; window < rows * columns; ++window) {
      const auto place = [&](int64_t i) {
        return Point{window / columns * l.window_height + i / l.window_width,
                     window % columns * l.window_width + i % l.window_width};
      };
      const auto value = [&](int64_t i, int64_t part, int64_t head, int64_t c) {
        const Point token = token_at(place(i).y, place(i).x, l);
        const int64_t channel = part * width + head * d + c;
        return token.y < 0 ? pad.data_ptr<double>()[channel] : x[b][token.y][token.x][channel];
      };
      for (int64_t head = 0; head < heads; ++head) {
        for (int64_t i = 0; i < places; ++i) {
          std::vector<double> p(places);
          double largest = -INFINITY, sum = 0;
          for (int64_t j = 0; j < places; ++j) {
            for (int64_t c = 0; c < d; ++c) p[j] += value(i, 0, head, c) * value(j, 1, head, c) * scale;
            if (biased) {
              const int64_t dy = i / l.window_width - j / l.window_width + l.window_height - 1;
              const int64_t dx = i % l.window_width - j % l.window_width + l.window_width - 1;
              p[j] += bias[dy * (2 * l.window_width - 1) + dx][head];
            }
            if (apart(place(i), place(j), l)) p[j] -= 100;
            largest = std::max(largest, p[j]);
          }
          for (double& score : p) sum += score = std::exp(score - largest);
          const Point token = token_at(place(i).y, place(i).x, l);
          for (int64_t j = 0; j < places; ++j) weights[b * rows * columns + window][head][i][j] = p[j] / sum;
          if (token.y < 0) continue;
          for (int64_t c = 0; c < d; ++c) {
            double mixed = 0;
            for (int64_t j = 0; j < places; ++j) {
              const int64_t number = (b * rows * columns + window) * heads + head;
              mixed += p[j] / sum * factor(number, i, j) * value(j, 2, head, c);
            }
            output[b][token.y][token.x][head * d + c] = mixed;
          }
        }
      }
    }
  }
  return result;
}

// A seeded call: sizes with and without remainders, windows larger than the grid, one side shifted, every option.
struct WindowCase {
  explicit WindowCase(uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto draw = [&](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    at::manual_seed(seed);
    type = std::array{at::kDouble, at::kFloat, at::kBFloat16}[draw(0, 2)];
    args.heads = draw(1, 3);
    args.window = {draw(1, 5), draw(1, 5)};
    if (draw(0, 3) == 0) args.window = {7, 7};
    args.shift = {draw(0, args.window[0] - 1), draw(0, args.window[1] - 1)};
    args.pad_first = draw(0, 1) == 1;
    const int64_t d = std::array<int64_t, 6>{1, 2, 3, 8, 16, 31}[draw(0, 5)];
    const int64_t batch = draw(1, 3), h = draw(1, 12), w = draw(1, 12);
    const int64_t width = args.heads * d;
    // Large scores in fp32 and fp64 alone: in bf16 their own rounding shows in the weights.
    qkv = (at::randn({batch, h, w, 3 * width}) * (draw(0, 4) == 0 && type != at::kBFloat16 ? 4 : 1)).to(type);
    if (draw(0, 3) > 0) {
      args.bias_table = at::randn({(2 * args.window[0] - 1) * (2 * args.window[1] - 1), args.heads}).to(type);
      args.bias_index = relative_position_index(args.window[0], args.window[1]);
    }
    if (draw(0, 3) > 0) args.pad_row = at::randn({3 * width}).to(type);
    if (draw(0, 3) == 0) args.scale = 0.3;
    layout = {h, w, args.window[0], args.window[1], args.shift[0], args.shift[1], args.pad_first};
    // A side of one window is not rolled when padding comes first.
    if (args.pad_first && h <= args.window[0]) layout.shift_height = 0;
    if (args.pad_first && w <= args.window[1]) layout.shift_width = 0;
  }

  std::string name() const {
    return fmt::format("qkv [{}] {} heads {} window {} shift {} pad_first {}", fmt::join(qkv.sizes(), ","),
                       toString(type), args.heads, fmt::join(args.window, "x"), fmt::join(args.shift, "x"),
                       args.pad_first);
  }

  at::ScalarType type = at::kFloat;
  at::Tensor qkv;
  WindowArgs args;
  WindowLayout layout;
};

}  // namespace fovea::testing
