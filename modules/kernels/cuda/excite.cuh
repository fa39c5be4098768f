// Two small layers of each image, a warp for each output; the products of their gradients are a tile of columns a
// block.
#pragma once

#include "fovea/modules/kernels/cuda/excite.h"
#include "fovea/modules/kernels/cuda/values.cuh"

namespace fovea::kernels::cuda {

constexpr int kExciteThreads = 256;
constexpr int kExciteWarps = kExciteThreads / kWarp;

__device__ inline float sigmoid(float x) {
  return 1 / (1 + expf(-x));
}

__device__ inline float clamped(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

__device__ inline float activated(float x, SqueezeActivation activation) {
  switch (activation) {
    case SqueezeActivation::none:
      return x;
    case SqueezeActivation::relu:
      return x < 0 ? 0 : x;  // NaN stays
    case SqueezeActivation::silu:
      return x * sigmoid(x);
    case SqueezeActivation::hard_swish:
      return x * clamped(x + 3, 0, 6) / 6;
  }
  return x;
}

// As autograd takes it where there is a corner.
__device__ inline float slope(float x, SqueezeActivation activation) {
  switch (activation) {
    case SqueezeActivation::none:
      return 1;
    case SqueezeActivation::relu:
      return x > 0 ? 1 : 0;
    case SqueezeActivation::silu: {
      const float s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
    case SqueezeActivation::hard_swish:
      return x < -3 ? 0 : x <= 3 ? x / 3 + 0.5f : 1;
  }
  return 1;
}

// Σ_k row[k]·x[k], in every lane.
template <typename S>
__device__ float warp_dot(const S* row, const float* x, int64_t count) {
  float sum = 0;
  for (int64_t k = lane_index(); k < count; k += kWarp) sum += widen(row[k]) * x[k];
  return warp_sum(sum);
}

// A warp for each of B·r.
template <typename S>
__global__ void __launch_bounds__(kExciteThreads) excite_hidden(ExciteCall call, float* before, float* hidden) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kExciteWarps + warp_index();
  if (i >= call.batch * call.hidden) return;
  const int64_t image = i / call.hidden, j = i % call.hidden;
  const S* row = static_cast<const S*>(call.fc1_weight) + j * call.channels;
  float sum = 0;
  for (int64_t n = 0; n < call.pooled_count; ++n) {
    float x = warp_dot(row, call.pooled + (n * call.batch + image) * call.channels, call.channels);
    if (call.fc1_bias != nullptr) x += widen(static_cast<const S*>(call.fc1_bias)[j]);
    if (lane_index() == 0) before[n * call.batch * call.hidden + i] = x;
    sum += activated(x, call.activation);
  }
  if (lane_index() == 0) hidden[i] = sum;
}

// A warp for each of B·C.
template <typename S>
__global__ void __launch_bounds__(kExciteThreads) excite_gate(ExciteCall call, const float* hidden, float* gate) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kExciteWarps + warp_index();
  if (i >= call.batch * call.channels) return;
  const int64_t image = i / call.channels, c = i % call.channels;
  float score =
      warp_dot(static_cast<const S*>(call.fc2_weight) + c * call.hidden, hidden + image * call.hidden, call.hidden);
  if (call.fc2_bias != nullptr) {
    score += static_cast<float>(call.pooled_count) * widen(static_cast<const S*>(call.fc2_bias)[c]);
  }
  if (lane_index() == 0) gate[i] = call.squash == Squash::sigmoid ? sigmoid(score) : clamped(score + 3, 0, 6) / 6;
}

static __global__ void __launch_bounds__(kExciteThreads)
    score_gradient(const float* gate, const float* grad_gate, Squash squash, int64_t count, float* grad_score) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kExciteThreads + threadIdx.x;
  if (i >= count) return;
  const float g = gate[i];
  grad_score[i] = grad_gate[i] * (squash == Squash::sigmoid ? g * (1 - g) : g > 0 && g < 1 ? 1.0f / 6 : 0);
}

// grad_before [n,B,r] holds the gradient of `hidden` in its first part when this begins.
static __global__ void __launch_bounds__(kExciteThreads)
    before_gradient(const float* before, SqueezeActivation activation, int64_t pooled_count, int64_t count,
                    float* grad_before) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kExciteThreads + threadIdx.x;
  if (i >= count) return;
  const float grad = grad_before[i];
  for (int64_t n = 0; n < pooled_count; ++n) {
    grad_before[n * count + i] = grad * slope(before[n * count + i], activation);
  }
}

// out[m,n] = Σ_k a[m·a_row + k·a_step]·b[k·columns + n]; a block for each m and 32 columns. Shared memory:
// kExciteThreads floats.
template <typename S>
__global__ void __launch_bounds__(kExciteThreads)
    small_product(const float* a, int64_t a_row, int64_t a_step, const S* b, int64_t depth, int64_t columns,
                  float* out) {
  const int64_t tiles = (columns + kWarp - 1) / kWarp, block = blockIdx.x;
  const int64_t m = block / tiles, n = block % tiles * kWarp + lane_index();
  float sum = 0;
  if (n < columns) {
    for (int64_t k = warp_index(); k < depth; k += kExciteWarps) {
      sum += a[m * a_row + k * a_step] * widen(b[k * columns + n]);
    }
  }
  const Shared<float> of_warps(0);
  of_warps[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() != 0 || n >= columns) return;
  for (int w = 1; w < kExciteWarps; ++w) sum += of_warps[w * kWarp + lane_index()];
  out[m * columns + n] = sum;
}

}  // namespace fovea::kernels::cuda
