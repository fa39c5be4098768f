// Tiles of rows in shared memory and the products of a warp, the same for every number type: 16-bit numbers go through
// tensor cores, float32 through plain fused multiply-adds in the same layout of sums, so that what stands around a
// product is written once.
//
// A warp owns 16 rows of sums, N·8 columns, as float sums[N][4]: the layout of mma.m16n8 (ptx.h). Lane `group·4 +
// place` holds rows `group` and `group + 8`, columns 8n + 2·place + {0,1}.
//
// Tried: lines padded by 16 bytes, so that the eight rows that a matrix load or a float4 of each group reads lie in
// different banks. The rows of the left factor are read again for each tile of the right one: a quarter more reads of
// shared memory, d/4 fewer registers. float32 by three products of TF32 was left out: a sum of three roundings is
// not the sum of products that the tolerance of float32 asks for where products cancel.
#pragma once

#include "fovea/modules/kernels/cuda/ptx.h"

namespace fovea::kernels::cuda {

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = kWarps * kWarp;
constexpr int kWarpRows = 16;
constexpr int kRows = kWarps * kWarpRows;  // of a block

constexpr float kMasked = -INFINITY;

// Elements from one row of a tile to the next, D the widest row.
template <typename T, int D>
constexpr int kLine = D + static_cast<int>(16 / sizeof(T));

template <typename T, int D>
constexpr size_t tile_bytes(int rows) {
  return static_cast<size_t>(rows) * kLine<T, D> * sizeof(T);
}

__device__ inline int round_up(int n, int to) {
  return (n + to - 1) / to * to;
}

__device__ inline bool is_finite(float x) {
  return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

// The threads that do something together: of a block or of a warp.
struct Crew {
  int index;
  int size;
};

__device__ inline Crew block_crew() {
  return {static_cast<int>(threadIdx.x), kThreads};
}
__device__ inline Crew warp_crew() {
  return {lane_index(), kWarp};
}

// Copies rows 0…count−1 into a tile; at(row) is where a row of `width` lies, null: zeros. Columns are filled up with
// zeros to the next multiple of 16. Aligned rows are copied asynchronously: the caller commits and waits.
template <typename T, int D, typename At>
__device__ void load_tile(Crew crew, Shared<T> tile, int count, int width, At at) {
  constexpr int kChunk = 16 / sizeof(T), kChunks = D / kChunk;
  const int filled = round_up(width, 16);
  for (int c = crew.index; c < count * kChunks; c += crew.size) {
    const int row = c / kChunks, column = c % kChunks * kChunk;
    if (column >= filled) continue;
    const T* from = at(row);
    const auto to = tile + (row * kLine<T, D> + column);
    if (from != nullptr && column + kChunk <= width && (reinterpret_cast<uintptr_t>(from) & 15) == 0) {
      copy_async<16>(to, from + column);
      continue;
    }
    for (int i = 0; i < kChunk; ++i) to[i] = from != nullptr && column + i < width ? from[column + i] : T{};
  }
}

// NaN and infinity in a tile become zeros.
template <typename T, int D>
__device__ void calm_tile(Crew crew, Shared<T> tile, int count, int width) {
  for (int c = crew.index; c < count * D; c += crew.size) {
    const int row = c / D, column = c % D;
    if (column >= width) continue;
    const T value = tile[row * kLine<T, D> + column];
    if (!is_finite(widen(value))) tile[row * kLine<T, D> + column] = T{};
  }
}

// sums += a·bᵀ over the first `width` columns, the first `rows` of b; both tiles have lines of D.
template <typename T, int D, int N>
__device__ inline void multiply_rows(float (&sums)[N][4], Shared<T> a, Shared<T> b, int width, int rows) {
  constexpr int kLd = kLine<T, D>;
  const int lane = lane_index();
  if constexpr (sizeof(T) == 2) {
    const auto a_row = a + (lane % 16 * kLd + lane / 16 * 8);
    const auto b_row = b + ((lane / 16 * 8 + lane % 8) * kLd + lane / 8 % 2 * 8);
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
      if (k * 16 >= width) break;
      uint32_t left[4];
      load_matrices<false>(left, a_row + k * 16);
#pragma unroll
      for (int n = 0; n < N / 2; ++n) {
        if (n * 16 >= rows) break;
        uint32_t right[4];
        load_matrices<false>(right, b_row + (n * 16 * kLd + k * 16));
        mma_16x8x16<T>(sums[2 * n], left, {right[0], right[1]});
        mma_16x8x16<T>(sums[2 * n + 1], left, {right[2], right[3]});
      }
    }
  } else {
    const int group = lane / 4, place = lane % 4;
    const auto upper = a + group * kLd, lower = a + (group + 8) * kLd, right = b + 2 * place * kLd;
    const auto dot = [](float sum, const float4& x, const float4& y) {
      return sum + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
    };
#pragma unroll 2
    for (int k = 0; k < width; k += 4) {
      const float4 u = (upper + k).template as<float4>()[0], l = (lower + k).template as<float4>()[0];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        if (n * 8 >= rows) break;
        const float4 first = (right + (n * 8 * kLd + k)).template as<float4>()[0];
        const float4 second = (right + ((n * 8 + 1) * kLd + k)).template as<float4>()[0];
        sums[n][0] = dot(sums[n][0], u, first);
        sums[n][1] = dot(sums[n][1], u, second);
        sums[n][2] = dot(sums[n][2], l, first);
        sums[n][3] = dot(sums[n][3], l, second);
      }
    }
  }
}

// Floats of shared memory that a warp needs to multiply K columns of its sums in float32.
template <typename T, int K>
constexpr int kSpare = sizeof(T) == 2 ? 0 : kWarpRows*(K + 4);

// sums += p·b: p are 16 rows of K/8 tiles of sums, rounded to T, b the first `rows` rows of a tile, zeros up to the
// next multiple of 16, of which the first `width` columns count.
template <typename T, int D, int N, int K>
__device__ inline void multiply_columns(float (&sums)[N][4], const float (&p)[K][4], Shared<T> b, int width, int rows,
                                        Shared<float> spare) {
  constexpr int kLd = kLine<T, D>;
  const int lane = lane_index();
  if constexpr (sizeof(T) == 2) {
    const auto b_row = b + ((lane / 8 % 2 * 8 + lane % 8) * kLd + lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < K / 2; ++k) {
      if (k * 16 >= rows) break;
      const auto &first = p[2 * k], &second = p[2 * k + 1];
      const uint32_t left[4] = {pack<T>(first[0], first[1]), pack<T>(first[2], first[3]), pack<T>(second[0], second[1]),
                                pack<T>(second[2], second[3])};
#pragma unroll
      for (int n = 0; n < N / 2; ++n) {
        if (n * 16 >= width) break;
        uint32_t right[4];
        load_matrices<true>(right, b_row + (k * 16 * kLd + n * 16));
        mma_16x8x16<T>(sums[2 * n], left, {right[0], right[1]});
        mma_16x8x16<T>(sums[2 * n + 1], left, {right[2], right[3]});
      }
    }
  } else {
    constexpr int kPitch = K * 8 + 4;
    const int group = lane / 4, place = lane % 4;
#pragma unroll
    for (int n = 0; n < K; ++n) {
      if (n * 8 >= rows) break;
      (spare + (group * kPitch + n * 8 + 2 * place)).template as<float2>()[0] = make_float2(p[n][0], p[n][1]);
      (spare + ((group + 8) * kPitch + n * 8 + 2 * place)).template as<float2>()[0] = make_float2(p[n][2], p[n][3]);
    }
    __syncwarp();
    for (int k = 0; k < rows; k += 4) {
      const float4 u = (spare + (group * kPitch + k)).template as<float4>()[0];
      const float4 l = (spare + ((group + 8) * kPitch + k)).template as<float4>()[0];
      const float upper[4] = {u.x, u.y, u.z, u.w}, lower[4] = {l.x, l.y, l.z, l.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int n = 0; n < N; ++n) {
          if (n * 8 >= width) break;
          const float2 right = (b + ((k + i) * kLd + n * 8 + 2 * place)).template as<float2>()[0];
          sums[n][0] += upper[i] * right.x;
          sums[n][1] += upper[i] * right.y;
          sums[n][2] += lower[i] * right.x;
          sums[n][3] += lower[i] * right.y;
        }
      }
    }
    __syncwarp();
  }
}

// Writes a warp's 16 rows, times `upper` and `lower` for its two rows of a lane, to at(row) of `width`; null: nowhere.
// They go through 16 rows of a tile that no other warp reads, so that they leave in whole lines.
template <typename T, int D, int N, typename At>
__device__ void store_rows(Shared<T> room, const float (&sums)[N][4], float upper, float lower, int width, At at) {
  static_assert(N * 8 == D);
  constexpr int kLd = kLine<T, D>, kChunk = 16 / sizeof(T), kChunks = D / kChunk;
  const int group = lane_index() / 4, place = lane_index() % 4;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < N; ++n) {
    if (n * 8 >= width) break;
    const auto to = room + (group * kLd + n * 8 + 2 * place), below = to + 8 * kLd;
    to[0] = narrowed<T>(sums[n][0] * upper);
    to[1] = narrowed<T>(sums[n][1] * upper);
    below[0] = narrowed<T>(sums[n][2] * lower);
    below[1] = narrowed<T>(sums[n][3] * lower);
  }
  __syncwarp();
  for (int c = lane_index(); c < kWarpRows * kChunks; c += kWarp) {
    const int row = c / kChunks, column = c % kChunks * kChunk;
    T* to = column < width ? at(row) : nullptr;
    if (to == nullptr) continue;
    const auto from = room + (row * kLd + column);
    if (column + kChunk <= width && (reinterpret_cast<uintptr_t>(to) & 15) == 0) {
      const uint4 whole = from.template as<uint4>()[0];
      store_vector(to + column, whole);
    } else {
      for (int i = 0; i < kChunk && column + i < width; ++i) to[column + i] = from[i];
    }
  }
  __syncwarp();
}

// Σ over the warp's 16 rows of the sums where `upper` and `lower` are 1; column 8n + 2·place + c in total[n][c] of
// every lane of that place.
template <int N>
__device__ inline void sum_of_rows(float (&total)[N][2], const float (&sums)[N][4], float upper, float lower) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      float x = (upper != 0 ? sums[n][c] * upper : 0.0f) + (lower != 0 ? sums[n][2 + c] * lower : 0.0f);
#pragma unroll
      for (int apart = 4; apart < kWarp; apart *= 2) x += __shfl_xor_sync(kAllLanes, x, apart);
      total[n][c] = x;
    }
  }
}

// body(value, row of the warp's 16, column) for each of the lane's sums.
template <int N, typename Body>
__device__ inline void for_each_sum(float (&sums)[N][4], Body body) {
  const int group = lane_index() / 4, place = lane_index() % 4;
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) body(sums[n][i], group + i / 2 * 8, n * 8 + 2 * place + i % 2);
  }
}

}  // namespace fovea::kernels::cuda
