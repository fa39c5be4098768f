// Which weights are left out: a counter-based generator, so that the backward pass draws the same without memory.
//
// Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011, https://doi.org/10.1145/2063384.2063405
// (Philox 4×32, 10 rounds).
#pragma once

#include "fovea/modules/kernels/cuda/device.h"

namespace fovea::kernels::cuda {

__device__ inline uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned low_x = 0xD2511F53u * counter.x, high_x = __umulhi(0xD2511F53u, counter.x);
    const unsigned low_z = 0xCD9E8D57u * counter.z, high_z = __umulhi(0xCD9E8D57u, counter.z);
    counter = make_uint4(high_z ^ counter.y ^ key.x, low_z, high_x ^ counter.w ^ key.y, low_x);
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return counter;
}

// The generator of one head. A counter serves four weights: rows i and i + 8, columns j and j + 8, which one lane holds
// whether rows are queries or keys.
struct Dropout {
  unsigned threshold = 0;  // numbers below are left out
  float factor = 1;        // of those that stay
  uint2 key = {};
  unsigned head = 0;
  unsigned offset = 0;

  Dropout() = default;
  __device__ Dropout(double probability, uint64_t seed, uint64_t offset, int64_t head)
      : threshold(static_cast<unsigned>(probability * 4294967296.0)),
        factor(probability > 0 ? static_cast<float>(1 / (1 - probability)) : 1.0f),
        key(make_uint2(static_cast<unsigned>(seed),
                       static_cast<unsigned>(seed >> 32) ^ static_cast<unsigned>(offset >> 32))),
        head(static_cast<unsigned>(head)),
        offset(static_cast<unsigned>(offset)) {}

  __device__ bool drops() const { return threshold != 0; }

  // Bit 4n + i stands for sums[n][i] (fragments.cuh) of the 16 rows from `row` and the columns from `column`, both
  // multiples of 16: set where the weight stays. `Turned`: rows are keys, columns queries.
  template <int N, bool Turned>
  __device__ unsigned kept(int row, int column) const {
    static_assert(N <= 8 && N % 2 == 0);
    const int group = lane_index() / 4, place = lane_index() % 4;
    unsigned bits = 0;
#pragma unroll
    for (int n = 0; n < N; n += 2) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const auto r = static_cast<unsigned>(row + group), j = static_cast<unsigned>(column + n * 8 + 2 * place + c);
        const uint4 drawn = philox(make_uint4(Turned ? j : r, Turned ? r : j, head, offset), key);
        const unsigned beside = Turned ? drawn.z : drawn.y, below = Turned ? drawn.y : drawn.z;
        bits |= (drawn.x >= threshold ? 1u : 0u) << (4 * n + c);
        bits |= (beside >= threshold ? 1u : 0u) << (4 * (n + 1) + c);
        bits |= (below >= threshold ? 1u : 0u) << (4 * n + 2 + c);
        bits |= (drawn.w >= threshold ? 1u : 0u) << (4 * (n + 1) + 2 + c);
      }
    }
    return bits;
  }
};

}  // namespace fovea::kernels::cuda
