// Attention forward: a block takes 64 rows of a head, 16 a warp, and goes through the keys in tiles; the next tile is
// copied while one is computed. Nothing but the output and log Σ exp is written.
//
// NaN and infinity in a value that a row does not see must not reach it, yet 0·NaN is NaN: where keys can be hidden and
// an output is not finite, the block computes again with calmed values and adds those that are seen. Tried: looking at
// every tile of values before its product (one more pass over shared memory and a barrier a tile); looking at the
// result costs one test an output.
//
// Dao, FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning, 2023,
// https://arxiv.org/abs/2307.08691
#pragma once

#include <type_traits>

#include "fovea/modules/kernels/cuda/dispatch.h"
#include "fovea/modules/kernels/cuda/online.cuh"

namespace fovea::kernels::cuda {

// Keys of a tile.
template <typename T>
constexpr int kKeys = sizeof(T) == 2 ? 64 : 32;

template <typename T, int D>
struct ForwardRoom {
  static constexpr size_t kQueries = tile_bytes<T, D>(kRows), kTile = tile_bytes<T, D>(kKeys<T>);
  static constexpr size_t kSpareBytes = kWarps * kSpare<T, kKeys<T> / 8 * 8> * sizeof(float);
  static size_t bytes(int stages) { return kQueries + 2 * kTile * stages + kSpareBytes; }
};

template <template <typename> class Source, typename T, int D>
__global__ void __launch_bounds__(kThreads, D > 64 ? 2 : 4) forward_kernel(typename Source<T>::Call call, int stages) {
  using Room = ForwardRoom<T, D>;
  constexpr int K = kKeys<T>;
  const int row_tiles = (call.queries() + kRows - 1) / kRows;
  const int problem = static_cast<int>(blockIdx.x) / row_tiles;
  const int first = static_cast<int>(blockIdx.x % row_tiles) * kRows, warp = warp_index();
  const size_t after_tiles = Room::kQueries + 2 * Room::kTile * static_cast<size_t>(stages);
  const Shared<T> queries(0);
  const auto keys_of = [&](int stage) {
    return Shared<T>(Room::kQueries + 2 * Room::kTile * static_cast<size_t>(stage));
  };
  const auto spare = Shared<float>(after_tiles) + warp * kSpare<T, K>;
  const Source<T> source(call, problem, Shared<float>(after_tiles + Room::kSpareBytes));

  const int rows = min(source.queries - first, kRows), row = first + warp * kWarpRows;
  const bool active = warp * kWarpRows < rows;
  const int key_end = source.key_end(first + rows), tiles = (key_end + K - 1) / K;
  const auto load_keys = [&](int tile) {
    const int key = tile * K, count = round_up(min(key_end - key, K), 16);
    const auto to = keys_of(tile % stages);
    load_tile<T, D>(block_crew(), to, count, source.width, [&](int j) { return source.k_row(key + j); });
    load_tile<T, D>(block_crew(), to + K * kLine<T, D>, count, source.value_width,
                    [&](int j) { return source.v_row(key + j); });
  };
  load_tile<T, D>(block_crew(), queries, round_up(rows, 16), source.width,
                  [&](int i) { return source.q_row(first + i); });

  OnlineRows<T, D, K> state;
  bool calm = false;
  for (;; calm = true) {
    state.clear();
    if (tiles > 0) load_keys(0);
    commit_copies();
    for (int tile = 0; tile < tiles; ++tile) {
      if (tile + 1 < tiles) load_keys(tile + 1);
      commit_copies();
      wait_for_copies<1>();
      __syncthreads();
      const int key = tile * K, count = min(key_end - key, K);
      const auto k = keys_of(tile % stages), v = k + K * kLine<T, D>;
      if (calm) {
        calm_tile<T, D>(block_crew(), v, count, source.value_width);
        __syncthreads();
      }
      if (active) state.add(source, queries + warp * kWarpRows * kLine<T, D>, k, v, row, key, count, spare);
      __syncthreads();
    }
    if (calm || !source.hides()) break;
    if (__syncthreads_or(active && state.is_wild() ? 1 : 0) == 0) break;
  }
  wait_for_copies<0>();
  __syncthreads();
  if (!active) return;
  if (calm) state.add_wild(source, row, 0, key_end);
  state.close();
  store_rows<T, D>(queries + warp * kWarpRows * kLine<T, D>, state.out, state.factor(0), state.factor(1),
                   source.value_width, [&](int i) { return source.result_row(row + i); });
  for (int r = 0; r < 2; ++r) {
    const int i = row + lane_index() / 4 + 8 * r;
    if (lane_index() % 4 == 0) source.keep_log_sum(i, state.log_sum(r));
  }
}

// Two for each multiprocessor of the largest chip.
constexpr int64_t kEnoughBlocks = 2 * 132;

// f(integral_constant D) with the narrowest lines that hold `widest` columns.
template <typename F>
Status with_lines(int widest, F f) {
  if (widest <= 32) return f(std::integral_constant<int, 32>());
  if (widest <= 64) return f(std::integral_constant<int, 64>());
  if (widest <= 128) return f(std::integral_constant<int, 128>());
  return "rows of more than 128 columns";
}

// Blocks along x; nothing to do is no fault.
template <typename Kernel, typename... Arguments>
Status launch_blocks(Kernel kernel, int64_t blocks, size_t shared_bytes, Stream stream, Arguments... arguments) {
  if (blocks == 0) return nullptr;
  if (blocks > INT32_MAX) return "more blocks than a grid has";
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), kThreads, shared_bytes, stream, arguments...);
}

template <template <typename> class Source, typename Call>
Status launch_forward(Number type, const Call& call, Stream stream) {
  return with_type(type, [&](auto number) {
    using T = decltype(number);
    return with_lines(call.widest(), [&](auto lines) {
      constexpr int D = decltype(lines)::value;
      const int stages = call.keys() > kKeys<T> ? 2 : 1;
      return launch_blocks(forward_kernel<Source, T, D>, call.problems() * divide_up(call.queries(), kRows),
                           ForwardRoom<T, D>::bytes(stages) + call.source_bytes(), stream, call, stages);
    });
  });
}

}  // namespace fovea::kernels::cuda
