// Attention in shifted windows as its steps say it, over doubles: pad, roll, cut, attend, and all gradients. Shares no
// code with the kernels but the structs of a call.
#pragma once

#include <array>

#include "fovea/modules/kernels/window_call.h"
#include "fovea/tests/simt/dropout_oracle.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {

enum class BiasKind { none, table, indexed_table, heads, windows };

struct WindowShape {
  Number type = Number::float32;
  int64_t batch = 1, height = 1, width = 1, window_height = 1, window_width = 1, shift_height = 0, shift_width = 0;
  bool pad_first = false, has_pad_row = false, strided = false;
  int64_t heads = 1, head_width = 1;
  BiasKind bias = BiasKind::none;
  double dropout = 0;
};

struct WindowCase {
  WindowCase(const WindowShape& s, uint64_t seed) : shape(s), random(seed) {
    const WindowCall c = sizes();
    token_stride = 3 * c.channels() + (s.strided ? 5 : 0);
    row_stride = s.width * token_stride + (s.strided ? 2 : 0);
    image_stride = s.height * row_stride + (s.strided ? 1 : 0);
    const int64_t last = (s.batch - 1) * image_stride + (s.height - 1) * row_stride + (s.width - 1) * token_stride;
    qkv = Array(s.type, random.normals(last + 3 * c.channels()), s.strided ? 1 : 0);
    out = Array(s.type, tokens() * c.channels());
    log_sum = Array(Number::float32, s.batch * c.windows() * s.heads * c.places());
    grad_out = Array(s.type, random.normals(tokens() * c.channels()));
    grad_qkv = Array(s.type, tokens() * 3 * c.channels());
    const auto zeros = [](int64_t n) { return std::vector<double>(static_cast<size_t>(n), 0.0); };
    grad_pad = Array(Number::float32, zeros(kWindowParts * 3 * c.channels()));
    grad_bias = Array(Number::float32, zeros(kWindowParts * s.heads * c.places() * c.places()));
    if (s.has_pad_row) pad_row = Array(s.type, random.normals(3 * c.channels()));
    const int64_t square = c.places() * c.places();
    const int64_t bias_size = s.bias == BiasKind::none      ? 0
                              : s.bias == BiasKind::heads   ? s.heads * square
                              : s.bias == BiasKind::windows ? c.windows() * s.heads * square
                                                            : table_rows() * s.heads;
    if (s.bias != BiasKind::none) bias = Array(s.type, random.normals(bias_size));
    grad_table = Array(Number::float32, table_rows() * s.heads);
    for (int64_t i = 0; i < c.places(); ++i) {
      for (int64_t j = 0; j < c.places(); ++j) index.push_back(table_row(i, j));
    }
    index_on_device = allocate(index.size() * sizeof(int64_t));
    copy_to_device(index_on_device, index.data(), index.size() * sizeof(int64_t));
  }
  WindowCase(const WindowCase&) = delete;
  ~WindowCase() { release(index_on_device); }

  WindowCall sizes() const {
    return {.type = shape.type,
            .batch = shape.batch,
            .height = shape.height,
            .width = shape.width,
            .window_height = shape.window_height,
            .window_width = shape.window_width,
            .shift_height = shape.shift_height,
            .shift_width = shape.shift_width,
            .pad_first = shape.pad_first,
            .heads = shape.heads,
            .head_width = shape.head_width,
            .scale = 1 / std::sqrt(static_cast<double>(shape.head_width)),
            .dropout = shape.dropout,
            .seed = 0x123456789abcdef,
            .offset = 5};
  }

  WindowCall call() const {
    WindowCall c = sizes();
    c.qkv = qkv.pointer();
    c.image_stride = image_stride;
    c.row_stride = row_stride;
    c.token_stride = token_stride;
    c.pad_row = pad_row.pointer();
    if (shape.bias == BiasKind::heads) c.bias = bias.pointer();
    if (shape.bias == BiasKind::windows) c.complete_bias = bias.pointer();
    if (has_table()) c.table = bias.pointer();
    if (shape.bias == BiasKind::indexed_table) c.table_index = static_cast<const int64_t*>(index_on_device);
    return c;
  }

  WindowGradients gradients() const {
    return {.grad_out = grad_out.pointer(),
            .grad_qkv = grad_qkv.pointer(),
            .grad_pad = grad_pad.pointer(),
            .grad_bias = shape.bias == BiasKind::windows ? nullptr : grad_bias.pointer()};
  }

  bool has_table() const { return shape.bias == BiasKind::table || shape.bias == BiasKind::indexed_table; }
  int64_t tokens() const { return shape.batch * shape.height * shape.width; }
  int64_t table_rows() const { return (2 * shape.window_height - 1) * (2 * shape.window_width - 1); }

  // Swin's table turned upside down where it is indexed, so that the index matters.
  int64_t table_row(int64_t i, int64_t j) const {
    const int64_t w = shape.window_width;
    const int64_t down = i / w - j / w + shape.window_height - 1, right = i % w - j % w + w - 1;
    const int64_t row = down * (2 * w - 1) + right;
    return shape.bias == BiasKind::indexed_table ? table_rows() - 1 - row : row;
  }

  std::string name() const {
    std::string text = name_of(shape.type);
    const auto& s = shape;
    for (const int64_t n : {s.batch, s.height, s.width, s.window_height, s.window_width, s.shift_height, s.shift_width,
                            s.heads, s.head_width, static_cast<int64_t>(s.bias)}) {
      text += " " + std::to_string(n);
    }
    return text + (s.pad_first ? " pad first" : "") + (s.has_pad_row ? " pad row" : "") +
           (s.strided ? " strided" : "") + (s.dropout > 0 ? " dropout" : "");
  }

  WindowShape shape;
  Random random;
  Array qkv, pad_row, bias, out, log_sum, grad_out, grad_qkv, grad_pad, grad_bias, grad_table;
  std::vector<int64_t> index;
  void* index_on_device = nullptr;
  int64_t image_stride = 0, row_stride = 0, token_stride = 0;
};

struct WindowExpected {
  std::vector<double> out, grad_qkv, grad_pad, grad_bias, grad_table;
  std::vector<double> plain;  // out of scores and weights that were rounded to the type, as the formula's are
};

// Token (row · width + column) that stands at a place of the padded and rolled grid; −1: padding.
inline int64_t standing_at(const WindowShape& s, const WindowCall& c, int64_t y, int64_t x) {
  const int64_t padded_height = c.rows() * s.window_height, padded_width = c.columns() * s.window_width;
  if (!s.pad_first) {
    if (y >= s.height || x >= s.width) return -1;
    return (y + s.shift_height) % s.height * s.width + (x + s.shift_width) % s.width;
  }
  const int64_t row = (y + s.shift_height) % padded_height, column = (x + s.shift_width) % padded_width;
  return row < s.height && column < s.width ? row * s.width + column : -1;
}

// The slices of the published networks: all but the last window, that without the shift, the shift.
inline int64_t slice_of(int64_t at, int64_t length, int64_t window, int64_t shift) {
  if (shift == 0) return 0;
  return at < length - window ? 0 : at < length - shift ? 1 : 2;
}

inline WindowExpected oracle(const WindowCase& k) {
  const auto& s = k.shape;
  const WindowCall c = k.sizes();
  const int64_t C = c.channels(), P = c.places(), d = s.head_width, H = s.heads;
  const auto zeros = [](int64_t n) { return std::vector<double>(static_cast<size_t>(n), 0.0); };
  WindowExpected x{zeros(k.tokens() * C), zeros(k.tokens() * 3 * C), zeros(3 * C),
                   zeros(H * P * P),      zeros(k.table_rows() * H), zeros(k.tokens() * C)};
  for (int64_t at = 0; at < s.batch * c.windows() * H; ++at) {
    const int64_t h = at % H, window = at / H % c.windows(), b = at / H / c.windows();
    std::vector<int64_t> token, slice;
    for (int64_t i = 0; i < P; ++i) {
      const int64_t y = window / c.columns() * s.window_height + i / s.window_width;
      const int64_t z = window % c.columns() * s.window_width + i % s.window_width;
      token.push_back(standing_at(s, c, y, z));
      slice.push_back(3 * slice_of(y, c.rows() * s.window_height, s.window_height, s.shift_height) +
                      slice_of(z, c.columns() * s.window_width, s.window_width, s.shift_width));
    }
    const auto get = [&](int64_t part, int64_t i, int64_t a) {
      const int64_t t = token[static_cast<size_t>(i)], column = part * C + h * d + a;
      if (t < 0) return s.has_pad_row ? k.pad_row[column] : 0.0;
      return k.qkv[b * k.image_stride + t / s.width * k.row_stride + t % s.width * k.token_stride + column];
    };
    const auto add = [&](int64_t part, int64_t i, int64_t a, double value) {
      const int64_t t = token[static_cast<size_t>(i)], column = part * C + h * d + a;
      if (t < 0) {
        x.grad_pad[static_cast<size_t>(column)] += value;
      } else {
        x.grad_qkv[static_cast<size_t>((b * s.height * s.width + t) * 3 * C + column)] += value;
      }
    };
    for (int64_t i = 0; i < P; ++i) {
      auto p = zeros(P), plain = zeros(P), grad = zeros(P);
      double top = -INFINITY, sum = 0, plain_sum = 0, shared = 0;
      for (int64_t j = 0; j < P; ++j) {
        double score = 0;
        for (int64_t a = 0; a < d; ++a) score += get(0, i, a) * get(1, j, a);
        score *= c.scale;
        const double of_places = score;
        if (k.has_table()) score += k.bias[k.table_row(i, j) * H + h];
        if (s.bias == BiasKind::heads) score += k.bias[(h * P + i) * P + j];
        if (s.bias == BiasKind::windows) {
          score += k.bias[((window * H + h) * P + i) * P + j];
        } else if (slice[static_cast<size_t>(i)] != slice[static_cast<size_t>(j)]) {
          score -= 100;
        }
        p[static_cast<size_t>(j)] = score;
        plain[static_cast<size_t>(j)] = rounded(s.type, rounded(s.type, of_places) + (score - of_places));
        top = std::max(top, score);
      }
      for (double& each : p) sum += each = std::exp(each - top);
      for (double& each : plain) plain_sum += each = std::exp(each - top);
      const int64_t t = token[static_cast<size_t>(i)], row = (b * s.height * s.width + t) * C + h * d;
      const auto grad_out = [&](int64_t a) { return t < 0 ? 0.0 : k.grad_out[row + a]; };
      for (int64_t j = 0; j < P; ++j) {
        const double weight = p[static_cast<size_t>(j)] /= sum;
        const double keep =
            kept(c.dropout, {static_cast<uint64_t>(i), static_cast<uint64_t>(j), static_cast<uint64_t>(at)}, c.offset,
                 c.seed);
        for (int64_t a = 0; a < d; ++a) {
          if (t >= 0) {
            x.out[static_cast<size_t>(row + a)] += weight * keep * get(2, j, a);
            x.plain[static_cast<size_t>(row + a)] +=
                rounded(s.type, plain[static_cast<size_t>(j)] / plain_sum * keep) * get(2, j, a);
          }
          grad[static_cast<size_t>(j)] += keep * grad_out(a) * get(2, j, a);
          add(2, j, a, weight * keep * grad_out(a));
        }
        shared += weight * grad[static_cast<size_t>(j)];
      }
      for (int64_t j = 0; j < P; ++j) {
        const double ds = p[static_cast<size_t>(j)] * (grad[static_cast<size_t>(j)] - shared);
        for (int64_t a = 0; a < d; ++a) {
          add(0, i, a, ds * c.scale * get(1, j, a));
          add(1, j, a, ds * c.scale * get(0, i, a));
        }
        x.grad_bias[static_cast<size_t>((h * P + i) * P + j)] += ds;
        x.grad_table[static_cast<size_t>(k.table_row(i, j) * H + h)] += ds;
      }
    }
  }
  return x;
}

}  // namespace fovea::kernels::testing
