// Attention of few rows over many keys: a block takes 16 rows and a part of the keys, its warps every fourth tile of
// that part, each for itself; the four meet in shared memory, the parts in a second kernel. Bound by the reading of
// keys and values, once for all rows: heads that share keys are rows where there is one query.
//
// Dao, Haziza, Massa, Sizov, Flash-Decoding for long-context inference, 2023,
// https://crfm.stanford.edu/2023/10/12/flashdecoding.html
#pragma once

#include "fovea/modules/kernels/cuda/attention.cuh"

namespace fovea::kernels::cuda {

template <typename T, int D>
struct DecodeRoom {
  static constexpr int K = sizeof(T) == 2 ? 32 : 16;  // keys of a tile
  static constexpr size_t kQueries = tile_bytes<T, D>(kWarpRows), kTile = tile_bytes<T, D>(K);
  static constexpr size_t kSums =
      static_cast<size_t>(kWarpRows) * D * sizeof(float);  // of a warp, when its tiles are done
  static constexpr size_t kOfWarp = 2 * kTile > kSums ? 2 * kTile : kSums;
  static constexpr size_t kSpareAt = kQueries + kWarps * kOfWarp;
  static constexpr size_t kStatesAt = kSpareAt + kWarps * kSpare<T, K / 8 * 8> * sizeof(float);
  static constexpr size_t kBytes = kStatesAt + 2 * kWarps * kWarpRows * sizeof(float);
};

// What one part of the keys gave, in the workspace: [problem, row, part, e + 1] floats, the last log Σ exp.
struct Parts {
  float* data = nullptr;
  int count = 1;

  __device__ float* of(int64_t row, int part, int value_width) const {
    return data + (row * count + part) * (value_width + 1);
  }
};

template <typename T, int D>
__global__ void __launch_bounds__(kThreads) decode_kernel(DenseCall call, Parts parts) {
  using Room = DecodeRoom<T, D>;
  constexpr int K = Room::K;
  const int row_tiles = (call.queries() + kWarpRows - 1) / kWarpRows, warp = warp_index();
  const int part = static_cast<int>(blockIdx.x % parts.count);
  const int row = static_cast<int>(blockIdx.x / parts.count % row_tiles) * kWarpRows;
  const int problem = static_cast<int>(blockIdx.x) / parts.count / row_tiles;
  const Shared<T> queries(0), k_tile(Room::kQueries + warp * Room::kOfWarp), v_tile = k_tile + K * kLine<T, D>;
  const auto spare = Shared<float>(Room::kSpareAt) + warp * kSpare<T, K>;
  const Dense<T> source(call, problem, spare);

  const int rows = min(source.queries - row, kWarpRows), key_end = source.key_end(row + rows);
  const auto tiles = [&](int p) {
    return static_cast<int>(static_cast<int64_t>(p) * ((source.keys + K - 1) / K) / parts.count);
  };
  load_tile<T, D>(block_crew(), queries, kWarpRows, source.width,
                  [&](int i) { return i < rows ? source.q_row(row + i) : nullptr; });
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();

  OnlineRows<T, D, K> state;
  const int first = (tiles(part) + warp) * K, end = min(tiles(part + 1) * K, key_end), step = kWarps * K;
  bool calm = false;
  for (;; calm = true) {
    state.clear();
    for (int key = first; key < end; key += step) {
      const int count = min(end - key, K), filled = round_up(count, 16);
      load_tile<T, D>(warp_crew(), k_tile, filled, source.width, [&](int j) { return source.k_row(key + j); });
      load_tile<T, D>(warp_crew(), v_tile, filled, source.value_width, [&](int j) { return source.v_row(key + j); });
      commit_copies();
      wait_for_copies<0>();
      __syncwarp();
      if (calm) {
        calm_tile<T, D>(warp_crew(), v_tile, count, source.value_width);
        __syncwarp();
      }
      state.add(source, queries, k_tile, v_tile, row, key, count, spare);
      __syncwarp();
    }
    if (calm || !source.hides() || __any_sync(kAllLanes, state.is_wild() ? 1 : 0) == 0) break;
  }
  if (calm) {
    for (int key = first; key < end; key += step) state.add_wild(source, row, key, min(key + K, end));
  }
  state.close();

  const auto sums = [&](int w) { return Shared<float>(Room::kQueries + w * Room::kOfWarp); };
  const auto top = [](int w) { return Shared<float>(Room::kStatesAt) + 2 * kWarpRows * w; };
  for_each_sum(state.out, [&](float& x, int i, int c) { sums(warp)[i * D + c] = x; });
  for (int r = 0; r < 2; ++r) {
    const int i = lane_index() / 4 + 8 * r;
    if (lane_index() % 4 != 0) continue;
    top(warp)[2 * i] = state.top[r];
    top(warp)[2 * i + 1] = state.sum[r];
  }
  __syncthreads();
  for (int i = warp; i < rows; i += kWarps) {
    float most = kMasked, share[kWarps], sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, top(w)[2 * i]);
    const float shift = most == kMasked ? 0.0f : most;
    for (int w = 0; w < kWarps; ++w) {
      share[w] = expf(top(w)[2 * i] - shift);
      sum += share[w] * top(w)[2 * i + 1];
    }
    const float factor = sum == 0.0f ? 0.0f : 1.0f / sum, log_sum = sum == 0.0f ? kMasked : shift + logf(sum);
    T* result = source.result_row(row + i);
    float* partial = parts.of(static_cast<int64_t>(problem) * source.queries + row + i, part, source.value_width);
    for (int c = lane_index(); c < source.value_width; c += kWarp) {
      float value = 0.0f;
      for (int w = 0; w < kWarps; ++w) value += share[w] * sums(w)[i * D + c];
      if (parts.count == 1) {
        result[c] = narrowed<T>(value * factor);
      } else {
        partial[c] = value * factor;
      }
    }
    if (lane_index() != 0) continue;
    if (parts.count == 1) {
      source.keep_log_sum(row + i, log_sum);
    } else {
      partial[source.value_width] = log_sum;
    }
  }
}

// A warp for each row of each problem: parts weigh as much as their Σ exp.
template <typename T>
__global__ void __launch_bounds__(kThreads) merge_kernel(DenseCall call, Parts parts) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarps + warp_index();
  if (at >= call.problems() * call.queries()) return;
  const int i = static_cast<int>(at % call.queries());
  const Dense<T> source(call, static_cast<int>(at / call.queries()), Shared<float>(0));
  const int e = source.value_width;
  float most = kMasked, sum = 0.0f;
  for (int part = 0; part < parts.count; ++part) most = fmaxf(most, parts.of(at, part, e)[e]);
  const float shift = most == kMasked ? 0.0f : most;
  for (int part = 0; part < parts.count; ++part) sum += expf(parts.of(at, part, e)[e] - shift);
  const float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
  for (int c = lane_index(); c < e; c += kWarp) {
    float value = 0.0f;
    for (int part = 0; part < parts.count; ++part) {
      const float* of = parts.of(at, part, e);
      value += expf(of[e] - shift) * of[c];
    }
    source.result_row(i)[c] = narrowed<T>(value * factor);
  }
  if (lane_index() == 0) source.keep_log_sum(i, sum == 0.0f ? kMasked : shift + logf(sum));
}

}  // namespace fovea::kernels::cuda
