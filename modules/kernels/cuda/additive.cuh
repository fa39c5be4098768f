// Additive attention: a warp for four keys of a query while scores are made, so that query and v are read once for
// them; a block for a tile of columns while the context is. Splitting both over the chip matters more than one launch:
// a step of a decoder has as few as 32 queries. Sums have one order.
#pragma once

#include "fovea/modules/kernels/cuda/additive.h"
#include "fovea/modules/kernels/cuda/values.cuh"

namespace fovea::kernels::cuda {

constexpr int kAdditiveThreads = 256;
constexpr int kAdditiveWarps = kAdditiveThreads / kWarp;
constexpr int kPairKeys = 4;  // of a warp

// Absolute error 10⁻⁷.
__device__ inline float tanh_of(float x) {
  const float t = exp2_fast(-2 * 1.4426950408889634f * fabsf(x));  // e^(−2|x|)
  return copysignf(__fdividef(1 - t, 1 + t), x);
}

__device__ inline bool is_hidden(const AdditiveCall& call, int64_t b, int64_t j) {
  return call.mask != nullptr && call.mask[b * call.mask_batch + j] == 0;
}

// In every thread; shared memory: kAdditiveWarps floats.
template <typename F>
__device__ float over_block(float value, F combine) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) value = combine(value, __shfl_xor_sync(kAllLanes, value, apart));
  const Shared<float> of_warps(0);
  if (lane_index() == 0) of_warps[warp_index()] = value;
  __syncthreads();
  value = of_warps[0];
  for (int w = 1; w < kAdditiveWarps; ++w) value = combine(value, of_warps[w]);
  __syncthreads();
  return value;
}

__device__ inline float block_sum(float value) {
  return over_block(value, [](float a, float b) { return a + b; });
}
__device__ inline float block_max(float value) {
  return over_block(value, [](float a, float b) { return maximum(a, b); });
}

// The softmax of a row of scores, by all threads of a block.
struct RowSoftmax {
  float top;
  float factor;  // 1/Σ exp(score − top), 0 where nothing is seen

  __device__ RowSoftmax(const float* scores, int64_t count) {
    float mine = -INFINITY;
    for (int64_t j = threadIdx.x; j < count; j += kAdditiveThreads) mine = maximum(mine, scores[j]);
    top = block_max(mine);
    float sum = 0;
    if (top != -INFINITY) {
      for (int64_t j = threadIdx.x; j < count; j += kAdditiveThreads) sum += expf(scores[j] - top);
    }
    sum = block_sum(sum);
    factor = top == -INFINITY ? 0 : 1 / sum;
  }

  __device__ float weight(float score) const { return factor == 0 ? 0 : expf(score - top) * factor; }
};

// --- Numbers for pairs of a query and a key.

// vᵀ·tanh(query + key).
template <typename S>
struct ScorePair {
  __device__ static int64_t width(const AdditiveCall& call) { return call.width; }
  __device__ static const S* row(const AdditiveCall& call, int64_t b, int64_t j) {
    return static_cast<const S*>(call.key) + b * call.key_batch + j * call.width;
  }
  __device__ static float hidden() { return -INFINITY; }

  template <int V>
  __device__ void load(const AdditiveCall& call, int64_t i, int64_t k) {
    load_values<V>(static_cast<const S*>(call.query) + i * call.width + k, query);
    load_values<V>(static_cast<const S*>(call.v) + k, v);
  }
  __device__ float term(int at, float key) const { return v[at] * tanh_of(query[at] + key); }
  __device__ float finish(int64_t, float sum) const { return sum; }

  float query[4], v[4];
};

// grad_contextᵀ·value + grad_weight.
template <typename S>
struct WeightGradientPair {
  __device__ static int64_t width(const AdditiveCall& call) { return call.value_width; }
  __device__ static const S* row(const AdditiveCall& call, int64_t b, int64_t j) {
    return static_cast<const S*>(call.value) + b * call.value_batch + j * call.value_width;
  }
  __device__ static float hidden() { return 0; }

  template <int V>
  __device__ void load(const AdditiveCall& call, int64_t i, int64_t k) {
    load_values<V>(grad_context + i * call.value_width + k, grad);
  }
  __device__ float term(int at, float value) const { return grad[at] * value; }
  __device__ float finish(int64_t place, float sum) const {
    return grad_weights == nullptr ? sum : sum + widen(grad_weights[place]);
  }

  const S* grad_context;
  const S* grad_weights;
  float grad[4];
};

// out [B,N,M] = Σ over the width; warps: B·N × groups of kPairKeys keys.
template <int V, typename S, typename Pair>
__global__ void __launch_bounds__(kAdditiveThreads) pair_sums(AdditiveCall call, Pair pair, float* out) {
  const int64_t groups = (call.keys + kPairKeys - 1) / kPairKeys;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kAdditiveWarps + warp_index(), i = warp / groups;
  if (i >= call.batch * call.queries) return;
  const int64_t first = warp % groups * kPairKeys, b = i / call.queries, width = Pair::width(call);
  const S* rows[kPairKeys];
  float sums[kPairKeys] = {};
#pragma unroll
  for (int t = 0; t < kPairKeys; ++t) {
    const bool seen = first + t < call.keys && !is_hidden(call, b, first + t);
    rows[t] = seen ? Pair::row(call, b, first + t) : nullptr;
  }
  for (int64_t k = lane_index() * V; k < width; k += kWarp * V) {
    pair.template load<V>(call, i, k);
#pragma unroll
    for (int t = 0; t < kPairKeys; ++t) {
      if (rows[t] == nullptr) continue;
      float values[V];
      load_values<V>(rows[t] + k, values);
      for (int v = 0; v < V; ++v) sums[t] += pair.term(v, values[v]);
    }
  }
#pragma unroll
  for (int t = 0; t < kPairKeys; ++t) {
    const float sum = warp_sum(sums[t]);
    const int64_t place = i * call.keys + first + t;
    if (lane_index() == 0 && first + t < call.keys) {
      out[place] = rows[t] == nullptr ? Pair::hidden() : pair.finish(place, sum);
    }
  }
}

// Blocks: B·N × tiles of 32·V columns of the context; the first tile's writes the weights. Shared memory:
// kAdditiveWarps·32·V floats.
template <int V, typename S>
__global__ void __launch_bounds__(kAdditiveThreads)
    additive_context(AdditiveCall call, const float* scores, S* context, S* weights) {
  constexpr int kTile = kWarp * V;
  const int64_t tiles = (call.value_width + kTile - 1) / kTile, i = blockIdx.x / tiles, b = i / call.queries;
  const int64_t start = blockIdx.x % tiles * kTile, column = start + lane_index() * V;
  const float* row = scores + i * call.keys;
  const RowSoftmax softmax(row, call.keys);
  if (start == 0) {
    for (int64_t j = threadIdx.x; j < call.keys; j += kAdditiveThreads) {
      weights[i * call.keys + j] = narrowed<S>(softmax.weight(row[j]));
    }
  }
  float sums[V] = {};
  if (column < call.value_width) {
    const S* values = static_cast<const S*>(call.value) + b * call.value_batch + column;
    for (int64_t j = warp_index(); j < call.keys; j += kAdditiveWarps) {
      if (is_hidden(call, b, j)) continue;
      const float weight = softmax.weight(row[j]);
      float mine[V];
      load_values<V>(values + j * call.value_width, mine);
      for (int v = 0; v < V; ++v) sums[v] += weight * mine[v];
    }
  }
  const Shared<float> of_warps(0);
  for (int v = 0; v < V; ++v) of_warps[warp_index() * kTile + lane_index() * V + v] = sums[v];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);
  if (mine >= kTile || start + mine >= call.value_width) return;
  float sum = 0;
  for (int w = 0; w < kAdditiveWarps; ++w) sum += of_warps[w * kTile + mine];
  narrow(sum, context[i * call.value_width + start + mine]);
}

// A block for each of B·N: weights, and the gradient of the scores from that of the weights, in place. Shared memory:
// kAdditiveWarps floats.
static __global__ void __launch_bounds__(kAdditiveThreads)
    additive_softmax_gradient(AdditiveCall call, const float* scores, float* weights, float* grad) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * call.keys, b = blockIdx.x / call.queries;
  const RowSoftmax softmax(scores + first, call.keys);
  float sum = 0;
  for (int64_t j = threadIdx.x; j < call.keys; j += kAdditiveThreads) {
    const float weight = is_hidden(call, b, j) ? 0 : softmax.weight(scores[first + j]);
    weights[first + j] = weight;
    sum += weight * grad[first + j];
  }
  sum = block_sum(sum);
  for (int64_t j = threadIdx.x; j < call.keys; j += kAdditiveThreads) {
    grad[first + j] = weights[first + j] * (grad[first + j] - sum);
  }
}

// Blocks: B·N × tiles of 32 columns. Shared memory: 2·kAdditiveThreads floats.
template <typename S>
__global__ void __launch_bounds__(kAdditiveThreads)
    additive_query_gradient(AdditiveCall call, const float* grad_scores, S* grad_query, float* grad_v) {
  const int64_t tiles = (call.width + kWarp - 1) / kWarp, i = blockIdx.x / tiles, b = i / call.queries;
  const int64_t k = blockIdx.x % tiles * kWarp + lane_index();
  float to_query = 0, to_v = 0, v = 0;
  if (k < call.width) {
    const float query = widen(static_cast<const S*>(call.query)[i * call.width + k]);
    v = widen(static_cast<const S*>(call.v)[k]);
    for (int64_t j = warp_index(); j < call.keys; j += kAdditiveWarps) {
      if (is_hidden(call, b, j)) continue;
      const float t = tanh_of(query + widen(ScorePair<S>::row(call, b, j)[k])), grad = grad_scores[i * call.keys + j];
      to_query += grad * (1 - t * t);
      to_v += grad * t;
    }
  }
  const Shared<float2> of_warps(0);
  of_warps[threadIdx.x] = make_float2(to_query, to_v);
  __syncthreads();
  if (warp_index() != 0 || k >= call.width) return;
  for (int w = 1; w < kAdditiveWarps; ++w) {
    const float2 more = of_warps[w * kWarp + lane_index()];
    to_query += more.x;
    to_v += more.y;
  }
  narrow(to_query * v, grad_query[i * call.width + k]);
  grad_v[i * call.width + k] = to_v;
}

// What a query adds to the gradient of a column of a key.
template <typename S>
struct KeyGradient {
  __device__ float load(const AdditiveCall& call, int64_t b, int64_t j, int64_t k) const {
    return widen(ScorePair<S>::row(call, b, j)[k]);
  }
  __device__ float term(const AdditiveCall& call, int64_t i, int64_t j, int64_t k, float key) const {
    const float t = tanh_of(widen(static_cast<const S*>(call.query)[i * call.width + k]) + key);
    return grad_scores[i * call.keys + j] * widen(static_cast<const S*>(call.v)[k]) * (1 - t * t);
  }

  const float* grad_scores;
};

// The same of a value.
template <typename S>
struct ValueGradient {
  __device__ float load(const AdditiveCall&, int64_t, int64_t, int64_t) const { return 0; }
  __device__ float term(const AdditiveCall& call, int64_t i, int64_t j, int64_t k, float) const {
    return weights[i * call.keys + j] * widen(grad_context[i * call.value_width + k]);
  }

  const float* weights;
  const S* grad_context;
};

// grad [B|1,M,width] = the sum over the queries that read the row. Blocks: rows of the batch × groups of kAdditiveWarps
// keys × tiles of 32 columns. Rows that nobody reads get 0.
template <typename S, typename Work>
__global__ void __launch_bounds__(kAdditiveThreads)
    additive_row_gradient(AdditiveCall call, int64_t row_batch, int64_t width, Work work, S* grad) {
  const int64_t tiles = (width + kWarp - 1) / kWarp, groups = (call.keys + kAdditiveWarps - 1) / kAdditiveWarps;
  const int64_t block = blockIdx.x, own = block / tiles / groups;
  const int64_t j = block / tiles % groups * kAdditiveWarps + warp_index(), k = block % tiles * kWarp + lane_index();
  if (j >= call.keys || k >= width) return;
  const int64_t end = row_batch == 1 ? call.batch : own + 1;
  float sum = 0;
  for (int64_t b = own; b < end; ++b) {
    if (is_hidden(call, b, j)) continue;
    const float loaded = work.load(call, b, j, k);
    for (int64_t i = b * call.queries; i < (b + 1) * call.queries; ++i) sum += work.term(call, i, j, k, loaded);
  }
  narrow(sum, grad[(own * call.keys + j) * width + k]);
}

}  // namespace fovea::kernels::cuda
