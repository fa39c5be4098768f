// Gates written as loops in fp64, sharing nothing with the library, and the inputs that all of them are tried on.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "fovea/modules/channel/gate.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/error.h"
#include "fovea/tests/support/error_of.h"

namespace fovea::testing {

struct Weights {
  at::Tensor fc1, b1, fc2, b2;  // [r,C,1,1], [r] or undefined, …
  at::Tensor conv;              // [1,2,k,k]
  double gain = 1, shift = 0;   // of the spatial batch norm, as one line
};

struct Gates {
  at::Tensor output;   // [B,C,h,w] fp64
  at::Tensor channel;  // [B,C] fp64
  at::Tensor spatial;  // [B,1,h,w] fp64
};

inline at::Tensor wide(const at::Tensor& t) {
  return t.defined() ? t.detach().to(at::kDouble).contiguous() : at::Tensor();
}

inline double squash(double score, Gate gate) {
  if (gate == Gate::sigmoid) return 1 / (1 + std::exp(-score));
  return std::clamp(score + 3, 0.0, 6.0) / 6;
}

inline std::vector<double> mlp(const std::vector<double>& in, const Weights& weights) {
  const auto fc1 = wide(weights.fc1.flatten(1)), fc2 = wide(weights.fc2.flatten(1));
  const auto b1 = wide(weights.b1), b2 = wide(weights.b2);
  std::vector<double> hidden(fc1.size(0)), out(fc2.size(0));
  for (size_t r = 0; r < hidden.size(); ++r) {
    hidden[r] = b1.defined() ? b1.data_ptr<double>()[r] : 0;
    for (size_t c = 0; c < in.size(); ++c) hidden[r] += fc1.data_ptr<double>()[r * in.size() + c] * in[c];
    hidden[r] = std::max(hidden[r], 0.0);
  }
  for (size_t c = 0; c < out.size(); ++c) {
    out[c] = b2.defined() ? b2.data_ptr<double>()[c] : 0;
    for (size_t r = 0; r < hidden.size(); ++r) out[c] += fc2.data_ptr<double>()[c * hidden.size() + r] * hidden[r];
  }
  return out;
}

// SE reads the mean alone, CBAM mean and maximum.
inline void gate_channels(Gates& gates, const Weights& weights, Gate gate, bool with_maximum) {
  auto x = gates.output.accessor<double, 4>();
  const int64_t B = x.size(0), C = x.size(1), h = x.size(2), w = x.size(3);
  gates.channel = at::zeros({B, C}, at::kDouble);
  for (int64_t b = 0; b < B; ++b) {
    std::vector<double> mean(C, 0), largest(C, -INFINITY);
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t i = 0; i < h * w; ++i) {
        mean[c] += x[b][c][i / w][i % w] / static_cast<double>(h * w);
        largest[c] = std::max(largest[c], x[b][c][i / w][i % w]);
      }
    }
    const auto from_mean = mlp(mean, weights);
    const auto from_largest = with_maximum ? mlp(largest, weights) : std::vector<double>(C, 0);
    for (int64_t c = 0; c < C; ++c) {
      const double factor = squash(from_mean[c] + from_largest[c], gate);
      gates.channel.accessor<double, 2>()[b][c] = factor;
      for (int64_t i = 0; i < h * w; ++i) x[b][c][i / w][i % w] *= factor;
    }
  }
}

inline void gate_pixels(Gates& gates, const Weights& weights, Gate gate) {
  auto x = gates.output.accessor<double, 4>();
  const int64_t B = x.size(0), C = x.size(1), h = x.size(2), w = x.size(3);
  const auto kernel_weights = wide(weights.conv);
  const auto kernel = kernel_weights.accessor<double, 4>();
  const int64_t k = kernel.size(2);
  gates.spatial = at::zeros({B, 1, h, w}, at::kDouble);
  auto factor = gates.spatial.accessor<double, 4>();
  for (int64_t b = 0; b < B; ++b) {
    std::vector<double> mean(h * w, 0), largest(h * w, -INFINITY);
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t i = 0; i < h * w; ++i) {
        mean[i] += x[b][c][i / w][i % w] / static_cast<double>(C);
        largest[i] = std::max(largest[i], x[b][c][i / w][i % w]);
      }
    }
    for (int64_t i = 0; i < h * w; ++i) {
      double score = 0;
      for (int64_t ky = 0; ky < k; ++ky) {
        for (int64_t kx = 0; kx < k; ++kx) {
          const int64_t y = i / w + ky - k / 2, column = i % w + kx - k / 2;
          if (y < 0 || y >= h || column < 0 || column >= w) continue;
          score += kernel[0][0][ky][kx] * mean[y * w + column] + kernel[0][1][ky][kx] * largest[y * w + column];
        }
      }
      factor[b][0][i / w][i % w] = squash(score * weights.gain + weights.shift, gate);
    }
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t i = 0; i < h * w; ++i) x[b][c][i / w][i % w] *= factor[b][0][i / w][i % w];
    }
  }
}

enum class Strides { contiguous, channels_last, transposed, sliced, expanded };

inline SqueezeMlp as_mlp(const Weights& weights) {
  return {weights.fc1, weights.b1, weights.fc2, weights.b2};
}

// A shape, a type, strides and options drawn from a seed.
struct ChannelCase {
  int64_t B, C, h, w, squeeze, kernel;
  at::ScalarType type;
  Strides strides;
  Gate gate;
  bool bias;

  explicit ChannelCase(uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](const auto& from) { return from[random() % from.size()]; };
    B = pick(std::vector<int64_t>{0, 1, 1, 2, 3});
    C = pick(std::vector<int64_t>{1, 2, 3, 8, 17, 64, 96});
    h = pick(std::vector<int64_t>{1, 2, 3, 5, 7, 8, 15});
    w = pick(std::vector<int64_t>{1, 2, 4, 5, 7, 14, 15});
    squeeze = pick(std::vector<int64_t>{1, 2, 5, 8});
    kernel = pick(std::vector<int64_t>{1, 3, 7});
    type = pick(std::vector<at::ScalarType>{at::kFloat, at::kFloat, at::kDouble, at::kBFloat16});
    strides = pick(std::vector<Strides>{Strides::contiguous, Strides::channels_last, Strides::transposed,
                                        Strides::sliced, Strides::expanded});
    gate = pick(std::vector<Gate>{Gate::sigmoid, Gate::hard_sigmoid});
    bias = pick(std::vector<int>{0, 1}) != 0;
    at::manual_seed(seed);
  }

  at::Tensor draw(at::IntArrayRef shape) const { return at::randn(shape, at::kDouble).to(type); }

  at::Tensor input() const {
    switch (strides) {
      case Strides::contiguous:
        return draw({B, C, h, w});
      case Strides::channels_last:
        return draw({B, C, h, w}).contiguous(at::MemoryFormat::ChannelsLast);
      case Strides::transposed:
        return draw({w, h, C, B}).permute({3, 2, 1, 0});
      case Strides::sliced:
        return draw({B, C + 2, h + 1, 2 * w}).slice(1, 1, C + 1).slice(2, 1).slice(3, 0, 2 * w, 2);
      case Strides::expanded:
        return draw({B, C, 1, w}).expand({B, C, h, w});
    }
    return {};
  }

  Weights weights() const {
    Weights weights{
        .fc1 = draw({squeeze, C, 1, 1}), .fc2 = draw({C, squeeze, 1, 1}), .conv = draw({1, 2, kernel, kernel})};
    if (bias) weights.b1 = draw({squeeze});
    if (bias) weights.b2 = draw({C});
    return weights;
  }

  std::string name() const {
    return fmt::format("B {} C {} h {} w {} squeeze {} kernel {} {} strides {} gate {} bias {}", B, C, h, w, squeeze,
                       kernel, c10::toString(type), static_cast<int>(strides), static_cast<int>(gate), bias);
  }
};

}  // namespace fovea::testing
