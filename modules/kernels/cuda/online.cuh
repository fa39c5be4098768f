// The softmax of a warp's 16 rows on their way through the keys: maximum and sum are kept per row, what was added
// before fades when a larger score comes.
//
// Milakov, Gimelshein, Online normalizer calculation for softmax, 2018, https://arxiv.org/abs/1805.02867
#pragma once

#include "fovea/modules/kernels/cuda/dense.cuh"

namespace fovea::kernels::cuda {

// e^x; 16-bit results need no more than 2⁻²².
template <typename T>
__device__ inline float exponential(float x) {
  if constexpr (sizeof(T) == 2) return exp2_fast(x * 1.44269504f);
  return expf(x);
}

// Of the four lanes that share a row.
template <typename Combine>
__device__ inline float over_row(float x, Combine combine) {
  x = combine(x, __shfl_xor_sync(kAllLanes, x, 1));
  return combine(x, __shfl_xor_sync(kAllLanes, x, 2));
}

// D: widest value, K: keys of a tile.
template <typename T, int D, int K>
struct OnlineRows {
  float out[D / 8][4];
  float top[2];  // of the rows `group` and `group + 8`
  float sum[2];  // of the lane's own columns until close()

  __device__ void clear() {
#pragma unroll
    for (auto& tile : out) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    top[0] = top[1] = kMasked;
    sum[0] = sum[1] = 0.0f;
  }

  // Adds `count` keys from `key`: rows of q from `row`, tiles of keys and values.
  template <typename Source>
  __device__ void add(const Source& source, Shared<T> q, Shared<T> k, Shared<T> v, int row, int key, int count,
                      Shared<float> spare) {
    float p[K / 8][4] = {};
    multiply_rows<T, D>(p, q, k, source.width, count);
    if (source.sees_all(row, key, K)) {
      for_each_sum(p, [&](float& x, int, int) { x *= source.scale; });
    } else {
      for_each_sum(p, [&](float& x, int i, int j) { x = j < count ? source.score(x, row + i, key + j) : kMasked; });
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = top[r];
#pragma unroll
      for (int n = 0; n < K / 8; ++n) {  // NaN comes in the sum
        if (n * 8 >= count) break;
        most = fmaxf(most, fmaxf(p[n][2 * r], p[n][2 * r + 1]));
      }
      most = over_row(most, [](float a, float b) { return fmaxf(a, b); });
      const float shift = most == kMasked ? 0.0f : most, fade = exponential<T>(top[r] - shift);
      top[r] = most;
      sum[r] *= fade;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        out[n][2 * r] *= fade;
        out[n][2 * r + 1] *= fade;
      }
#pragma unroll
      for (int n = 0; n < K / 8; ++n) {
        if (n * 8 >= count) {  // the product with values takes 16 columns at once
          p[n][2 * r] = p[n][2 * r + 1] = 0.0f;
          continue;
        }
        p[n][2 * r] = exponential<T>(p[n][2 * r] - shift);
        p[n][2 * r + 1] = exponential<T>(p[n][2 * r + 1] - shift);
        sum[r] += p[n][2 * r] + p[n][2 * r + 1];
      }
    }
    if (source.dropout.drops()) {
      const unsigned kept = source.dropout.template kept<K / 8, false>(row, key);
#pragma unroll
      for (int n = 0; n < K / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) p[n][i] = (kept >> (4 * n + i) & 1) != 0 ? p[n][i] * source.dropout.factor : 0.0f;
      }
    }
    multiply_columns<T, D>(out, p, v, source.value_width, count, spare);
  }

  // A value of NaN or infinity, or one that overflowed, was met, perhaps by a row that does not see it.
  __device__ bool is_wild() const {
    bool wild = false;
#pragma unroll
    for (const auto& tile : out) {
#pragma unroll
      for (const float x : tile) wild = wild || !is_finite(x);
    }
    return wild;
  }

  // Adds the NaN and infinities of the keys from `key` to `end` for the rows that see them, where the tiles of values
  // were calmed.
  template <typename Source>
  __device__ void add_wild(const Source& source, int row, int key, int end) {
    for (; key < end; ++key) {
      const T* values = source.v_row(key);
      if (values == nullptr) continue;
      for_each_sum(out, [&](float& x, int i, int column) {
        if (column >= source.value_width) return;
        const float value = widen(values[column]);
        if (!is_finite(value) && source.score(0.0f, row + i, key) != kMasked) x += value;
      });
    }
  }

  // Ends the sums; returns nothing more to add. A row that saw nothing has factor 0 and log Σ −∞.
  __device__ void close() {
#pragma unroll
    for (float& s : sum) s = over_row(s, [](float a, float b) { return a + b; });
  }
  __device__ float factor(int r) const {
    return sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
  }
  __device__ float log_sum(int r) const {
    return sum[r] == 0.0f ? kMasked : (top[r] == kMasked ? 0.0f : top[r]) + logf(sum[r]);
  }
};

}  // namespace fovea::kernels::cuda
