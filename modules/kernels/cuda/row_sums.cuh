// The sum of rows, in one order.
#pragma once

#include "fovea/modules/kernels/cuda/device.h"

namespace fovea::kernels::cuda {

constexpr int kRowSumThreads = 256;

// out[n] = factor·Σ_m rows[m,n]; a block for each 32 columns, shared memory: kRowSumThreads floats.
static __global__ void __launch_bounds__(kRowSumThreads)
    add_rows(const float* rows, int64_t count, int64_t columns, float factor, float* out) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kWarp + lane_index();
  float sum = 0;
  if (n < columns) {
    for (int64_t m = warp_index(); m < count; m += kRowSumThreads / kWarp) sum += rows[m * columns + n];
  }
  const Shared<float> of_warps(0);
  of_warps[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() != 0 || n >= columns) return;
  for (int w = 1; w < kRowSumThreads / kWarp; ++w) sum += of_warps[w * kWarp + lane_index()];
  out[n] = sum * factor;
}

}  // namespace fovea::kernels::cuda
