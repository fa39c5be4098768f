// Attention and its gradients in plain loops over doubles, and random calls to compare the CUDA kernels on. Shares no
// code with the kernels but the structs of a call.
#pragma once

#include <array>
#include <limits>

#include "fovea/modules/kernels/attention_call.h"
#include "fovea/tests/simt/dropout_oracle.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {

// [B,H,N,width] somewhere in memory that ends with its last number; what lies between rows is NaN.
class Rows {
 public:
  enum Layout { contiguous, heads_inside, unaligned };

  Rows() = default;
  Rows(std::array<int64_t, 4> sizes, Layout layout) : sizes_(sizes) {
    const auto [batch, heads, rows, width] = sizes;
    const int64_t gap = layout == unaligned ? 3 : 0;
    strides_ = {heads * (rows * (width + gap) + gap), rows * (width + gap) + gap, width + gap};
    if (layout == heads_inside) strides_ = {rows * heads * width, width, heads * width};  // [B,N,H,width]
    first_ = layout == unaligned ? 1 : 0;
    if (batch * heads * rows * width > 0) {
      values_.assign(static_cast<size_t>(index(batch - 1, heads - 1, rows - 1, width - 1) + 1), NAN);
    }
  }

  int64_t size(int dim) const { return sizes_[static_cast<size_t>(dim)]; }
  int64_t count() const { return sizes_[0] * sizes_[1] * sizes_[2] * sizes_[3]; }

  // Indices along a dimension of one are broadcast.
  int64_t index(int64_t b, int64_t h, int64_t i, int64_t c) const {
    return first_ + (size(0) == 1 ? 0 : b * strides_[0]) + (size(1) == 1 ? 0 : h * strides_[1]) +
           (size(2) == 1 ? 0 : i * strides_[2]) + c;
  }

  // value(b, h, i, c) everywhere.
  template <typename Value>
  void each(Value value) {
    for (int64_t b = 0; b < size(0); ++b) {
      for (int64_t h = 0; h < size(1); ++h) {
        for (int64_t i = 0; i < size(2); ++i) {
          for (int64_t c = 0; c < size(3); ++c) values_[static_cast<size_t>(index(b, h, i, c))] = value(b, h, i, c);
        }
      }
    }
  }

  void upload(Number type) { array_ = Array(type, values_); }
  double operator()(int64_t b, int64_t h, int64_t i, int64_t c) const { return array_[index(b, h, i, c)]; }
  bool exists() const { return array_.exists(); }

  // What the device holds now, [B,H,N,width] one after the other.
  std::vector<double> read() const {
    const auto all = array_.read();
    std::vector<double> packed;
    for (int64_t b = 0; b < size(0); ++b) {
      for (int64_t h = 0; h < size(1); ++h) {
        for (int64_t i = 0; i < size(2); ++i) {
          for (int64_t c = 0; c < size(3); ++c) packed.push_back(all[static_cast<size_t>(index(b, h, i, c))]);
        }
      }
    }
    return packed;
  }
  std::vector<unsigned char> bits() const { return array_.bits(); }

  View seen() const { return {data(), stride(0), stride(1), stride(2)}; }
  MutableView written() const { return {data(), stride(0), stride(1), stride(2)}; }

 private:
  int64_t stride(int dim) const { return size(dim) == 1 ? 0 : strides_[static_cast<size_t>(dim)]; }
  void* data() const {
    return array_.exists() ? array_.data<unsigned char>() + static_cast<size_t>(first_) * bytes_of(array_.type())
                           : nullptr;
  }

  std::array<int64_t, 4> sizes_ = {};
  std::array<int64_t, 3> strides_ = {};
  int64_t first_ = 0;
  std::vector<double> values_;
  Array array_;
};

// Which dimensions of a bias or mask are there: a bit each.
enum Spread { none = 0, per_image = 1, per_head = 2, per_row = 4, present = 8 };

struct Shape {
  Number type = Number::float32;
  int64_t batch = 1, key_heads = 1, sharing = 1, queries = 1, keys = 1, width = 1, value_width = 1;
  bool causal = false;
  int64_t causal_offset = 0;
  int bias = none, mask = none;  // with `present`
  double dropout = 0;
};

struct AttentionCase {
  AttentionCase(const Shape& given, uint64_t seed) : shape(given), random(seed) {
    const auto& s = shape;
    const auto layout = [&] { return static_cast<Rows::Layout>(random.pick({0, 1, 2})); };
    const auto rows = [&](int64_t heads, int64_t count, int64_t width) {
      Rows made({s.batch, heads, count, width}, layout());
      made.each([&](int64_t, int64_t, int64_t, int64_t) { return random.normal(); });
      made.upload(s.type);
      return made;
    };
    q = rows(heads(), s.queries, s.width);
    k = rows(s.key_heads, s.keys, s.width);
    v = rows(s.key_heads, s.keys, s.value_width);
    grad_out = rows(heads(), s.queries, s.value_width);
    out = rows(heads(), s.queries, s.value_width);
    grad_q = rows(heads(), s.queries, s.width);
    grad_k = rows(s.key_heads, s.keys, s.width);
    grad_v = rows(s.key_heads, s.keys, s.value_width);
    const auto spread = [&](int bits) {
      return std::array<int64_t, 4>{bits & per_image ? s.batch : 1, bits & per_head ? heads() : 1,
                                    bits & per_row ? s.queries : 1, s.keys};
    };
    if (s.bias != none) {
      bias = Rows(spread(s.bias), layout());
      bias.each([&](int64_t, int64_t, int64_t, int64_t) {
        return random.pick({0, 1, 2, 3, 4, 5, 6, 7}) == 0 ? -INFINITY : random.normal();
      });
      bias.upload(s.type);
      grad_bias = Rows(spread(s.bias), Rows::contiguous);
      grad_bias.each([](int64_t, int64_t, int64_t, int64_t) { return 0.0; });
      grad_bias.upload(Number::float32);
    }
    if (s.mask != none) {
      mask = Rows(spread(s.mask), Rows::contiguous);
      bool row_is_empty = false;  // a row that sees nothing
      mask.each([&](int64_t, int64_t, int64_t, int64_t j) {
        if (j == 0) row_is_empty = random.pick({0, 1, 2, 3, 4, 5, 6, 7}) == 0;
        return row_is_empty || random.pick({0, 1, 2}) == 0 ? 0.0 : 1.0;
      });
      mask.upload(Number::float32);  // for the loops
      bytes = Bytes(mask);
    }
    dropout_seed = static_cast<uint64_t>(random.normal() * 1e18);
    dropout_offset = random.coin() ? 3 : static_cast<uint64_t>(random.normal() * 1e18);
    log_sum = Array(Number::float32, s.batch * heads() * s.queries);
  }

  int64_t heads() const { return shape.key_heads * shape.sharing; }

  AttentionCall call() const {
    AttentionCall c{.type = shape.type,
                    .batch = shape.batch,
                    .heads = heads(),
                    .key_heads = shape.key_heads,
                    .queries = shape.queries,
                    .keys = shape.keys,
                    .width = shape.width,
                    .value_width = shape.value_width,
                    .scale = scale(),
                    .causal = shape.causal,
                    .causal_offset = shape.causal_offset,
                    .q = q.seen(),
                    .k = k.seen(),
                    .v = v.seen()};
    if (shape.bias != none) c.bias = bias.seen();
    if (shape.mask != none) {
      c.mask = mask.seen();
      c.mask.data = bytes.data;
    }
    c.dropout = shape.dropout;
    c.seed = dropout_seed;
    c.offset = dropout_offset;
    return c;
  }

  AttentionGradients gradients() const {
    AttentionGradients g{.out = out.seen(),
                         .log_sum = log_sum.pointer(),
                         .grad_out = grad_out.seen(),
                         .grad_q = grad_q.written(),
                         .grad_k = grad_k.written(),
                         .grad_v = grad_v.written(),
                         .grad_bias = {}};
    if (shape.bias != none) g.grad_bias = grad_bias.written();
    return g;
  }

  double scale() const { return 1 / std::sqrt(static_cast<double>(std::max<int64_t>(shape.width, 1))); }

  // −∞ where hidden.
  double bias_of(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (shape.causal && j > i + shape.causal_offset) return -INFINITY;
    if (shape.mask != none && mask(b, h, i, j) == 0) return -INFINITY;
    return shape.bias != none ? bias(b, h, i, j) : 0;
  }

  std::string name() const {
    const auto& s = shape;
    std::string text = name_of(s.type);
    for (const int64_t n : {s.batch, s.key_heads, s.sharing, s.queries, s.keys, s.width, s.value_width}) {
      text += " " + std::to_string(n);
    }
    return text + (s.causal ? " causal " + std::to_string(s.causal_offset) : "") + " bias " + std::to_string(s.bias) +
           " mask " + std::to_string(s.mask) + (s.dropout > 0 ? " dropout" : "");
  }

  // A mask as the kernels take it.
  struct Bytes {
    Bytes() = default;
    explicit Bytes(const Rows& mask) {
      std::vector<unsigned char> all;
      for (const double x : mask.read()) all.push_back(x != 0 ? static_cast<unsigned char>(1 + all.size() % 255) : 0);
      data = allocate(all.size());
      copy_to_device(data, all.data(), all.size());
    }
    Bytes& operator=(Bytes&& other) noexcept {
      std::swap(data, other.data);
      return *this;
    }
    ~Bytes() {
      if (data != nullptr) release(data);
    }
    void* data = nullptr;
  };

  Shape shape;
  Random random;
  Rows q, k, v, bias, mask, out, grad_out, grad_q, grad_k, grad_v, grad_bias;
  Bytes bytes;
  Array log_sum;
  uint64_t dropout_seed = 0, dropout_offset = 0;
};

// Everything that the kernels compute, contiguous.
struct Expected {
  std::vector<double> out, log_sum, weights, grad_q, grad_k, grad_v, grad_bias;
  double score_gradient = 0;  // largest p·dp: the gradient of a score is p·dp − p·Σ p·dp, 0 for a single key
  std::vector<double> plain;  // out of scores and weights that were rounded to the type, as the formula's are
};

inline Expected oracle(const AttentionCase& c) {
  const auto& s = c.shape;
  const int64_t H = c.heads(), K = s.key_heads, B = s.batch, N = s.queries, M = s.keys, d = s.width, e = s.value_width;
  const auto zeros = [](int64_t n) { return std::vector<double>(static_cast<size_t>(n), 0.0); };
  Expected x{zeros(B * H * N * e),       std::vector<double>(static_cast<size_t>(B * H * N), -INFINITY),
             zeros(B * H * N * M),       zeros(B * H * N * d),
             zeros(B * K * M * d),       zeros(B * K * M * e),
             zeros(c.grad_bias.count()), 0,
             zeros(B * H * N * e)};
  for (int64_t row = 0; row < B * H * N; ++row) {
    const int64_t b = row / N / H, h = row / N % H, i = row % N, kh = h / s.sharing;
    auto score = zeros(M), plain = zeros(M), keep = zeros(M), grad = zeros(M);
    double top = -INFINITY, sum = 0, plain_sum = 0, shared = 0;
    for (size_t j = 0; j < score.size(); ++j) {
      const auto key = static_cast<int64_t>(j);
      double dot = 0;
      for (int64_t a = 0; a < d; ++a) dot += c.q(b, h, i, a) * c.k(b, kh, key, a);
      const double bias = c.bias_of(b, h, i, key);
      score[j] = bias == -INFINITY ? -INFINITY : dot * c.scale() + bias;
      plain[j] = bias == -INFINITY ? -INFINITY : rounded(s.type, rounded(s.type, dot * c.scale()) + bias);
      top = std::max(top, score[j]);
      keep[j] = kept(s.dropout, {static_cast<uint64_t>(i), j, static_cast<uint64_t>(b * H + h)}, c.dropout_offset,
                     c.dropout_seed);
    }
    if (top == -INFINITY) continue;
    for (const double each : score) sum += std::exp(each - top);
    for (double& each : plain) plain_sum += each = std::exp(each - top);
    x.log_sum[static_cast<size_t>(row)] = top + std::log(sum);
    double* p = x.weights.data() + row * M;
    for (size_t j = 0; j < score.size(); ++j) {
      const auto key = static_cast<int64_t>(j);
      p[j] = std::exp(score[j] - top) / sum;
      if (score[j] == -INFINITY) continue;
      for (int64_t a = 0; a < e; ++a) {
        const double g = c.grad_out(b, h, i, a), value = c.v(b, kh, key, a);
        x.out[static_cast<size_t>(row * e + a)] += p[j] * keep[j] * value;
        x.plain[static_cast<size_t>(row * e + a)] += rounded(s.type, plain[j] / plain_sum * keep[j]) * value;
        grad[j] += g * value * keep[j];
        x.grad_v[static_cast<size_t>(((b * K + kh) * M + key) * e + a)] += p[j] * keep[j] * g;
      }
      shared += p[j] * grad[j];
    }
    for (size_t j = 0; j < score.size(); ++j) {
      if (score[j] == -INFINITY) continue;
      const auto key = static_cast<int64_t>(j);
      const double ds = p[j] * (grad[j] - shared);
      x.score_gradient = std::max(x.score_gradient, std::fabs(p[j] * grad[j]));
      for (int64_t a = 0; a < d; ++a) {
        x.grad_q[static_cast<size_t>(row * d + a)] += ds * c.scale() * c.k(b, kh, key, a);
        x.grad_k[static_cast<size_t>(((b * K + kh) * M + key) * d + a)] += ds * c.scale() * c.q(b, h, i, a);
      }
      if (s.bias != none) x.grad_bias[static_cast<size_t>(c.grad_bias.index(b, h, i, key))] += ds;
    }
  }
  return x;
}

}  // namespace fovea::kernels::testing
