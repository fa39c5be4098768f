// Weights of the rows that somebody looks at, one head or the mean of all: a block a row, its warps a key each. Scores
// are computed twice, so that nothing but the result is kept.
#pragma once

#include "fovea/modules/kernels/cuda/online.cuh"

namespace fovea::kernels::cuda {

struct AskedRows {
  const int64_t* queries = nullptr;  // [count]
  int64_t count = 0;
  bool mean_of_heads = false;
  float* weights = nullptr;  // [B,H,count,M] or [B,count,M]
};

template <typename T>
__global__ void __launch_bounds__(kThreads) rows_kernel(DenseCall call, AskedRows asked) {
  const int64_t at = blockIdx.x;
  const int group = static_cast<int>(at / asked.count), heads = asked.mean_of_heads ? call.heads() : 1;
  const int i = static_cast<int>(asked.queries[at % asked.count]), warp = warp_index();
  const Shared<float> q(0), tops = q + call.widest(), sums = tops + kWarps;
  float* weights = asked.weights + at * call.keys();
  for (int head = 0; head < heads; ++head) {
    const Dense<T> source(call, group * heads + head, q);
    for (int c = static_cast<int>(threadIdx.x); c < source.width; c += kThreads) q[c] = widen(source.q_row(i)[c]);
    __syncthreads();
    const auto score = [&](int j) {
      const T* k = source.k_row(j);
      float product = 0.0f;
      for (int c = lane_index(); c < source.width; c += kWarp) product += q[c] * widen(k[c]);
      return source.score(warp_sum(product), i, j);
    };
    float top = kMasked, sum = 0.0f;
    for (int j = warp; j < source.keys; j += kWarps) {
      const float x = score(j), most = fmaxf(top, x), shift = most == kMasked ? 0.0f : most;
      sum = sum * expf(top - shift) + expf(x - shift);
      top = most;
    }
    if (lane_index() == 0) {
      tops[warp] = top;
      sums[warp] = sum;
    }
    __syncthreads();
    float most = kMasked, total = 0.0f;
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, tops[w]);
    const float shift = most == kMasked ? 0.0f : most;
    for (int w = 0; w < kWarps; ++w) total += sums[w] * expf(tops[w] - shift);
    const float factor = total == 0.0f ? 0.0f : 1.0f / (total * static_cast<float>(heads));
    for (int j = warp; j < source.keys; j += kWarps) {
      const float weight = expf(score(j) - shift) * factor;
      if (lane_index() == 0) weights[j] = head == 0 ? weight : weights[j] + weight;
    }
    __syncthreads();
  }
}

}  // namespace fovea::kernels::cuda
