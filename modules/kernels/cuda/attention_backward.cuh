// Attention backward: weights are computed again from log Σ exp, tile by tile, in three passes that each own what they
// write, so that nothing needs atomics and every sum has one order:
//   products    Σ out·grad_out of each row;
//   keys        a block owns 64 keys of a key head, 16 a warp, and goes through the rows that see them: grad_k, grad_v;
//   queries     a block owns 64 rows and goes through their keys: grad_q.
// The gradient of the bias has a pass of its own (bias_gradient.cuh).
//
// Tried: one pass over keys with atomics for grad_q makes five products of the seven; it was left out because the order
// of its sums changes from run to run. In the pass over keys rows and columns of the scores change places, so that its
// weights are already the left factors of both products and never pass through shared memory.
#pragma once

#include "fovea/modules/kernels/cuda/attention.cuh"

namespace fovea::kernels::cuda {

// Rows or keys of a tile that the passes go through: sums of two widths of 128 leave fewer registers.
template <typename T, int D>
constexpr int kStep = sizeof(T) == 4 || D > 64 ? 32 : 64;

template <typename T, int D>
struct BackwardRoom {
  static constexpr int K = kStep<T, D>;
  static constexpr size_t kOwn = tile_bytes<T, D>(kRows), kOther = tile_bytes<T, D>(K);
  static constexpr size_t kFirst = 2 * kOwn, kSpareAt = kFirst + 2 * kOther;
  static constexpr size_t kRowsAt = kSpareAt + kWarps * kSpare<T, K / 8 * 8> * sizeof(float);
  static constexpr size_t kSource = kRowsAt + 2 * K * sizeof(float);
};

template <template <typename> class Source, typename T>
__global__ void __launch_bounds__(kThreads) products_kernel(typename Source<T>::Call call) {
  const int row_tiles = (call.queries() + kRows - 1) / kRows;
  const Source<T> source(call, static_cast<int>(blockIdx.x) / row_tiles, Shared<float>(0));
  const int first = static_cast<int>(blockIdx.x % row_tiles) * kRows + warp_index() * kWarpRows;
  for (int i = first; i < min(first + kWarpRows, source.queries); ++i) {
    const T *out = source.out_row(i), *grad = source.grad_out_row(i);
    float sum = 0.0f;
    for (int c = lane_index(); out != nullptr && grad != nullptr && c < source.value_width; c += kWarp) {
      sum += widen(out[c]) * widen(grad[c]);
    }
    sum = warp_sum(sum);
    if (lane_index() == 0) source.keep_product(i, sum);
  }
}

// Products of a tile become weights and gradients of the scores. `query` and `key` place the first of the warp's 16
// rows and of the columns; Turned: rows are keys. log_sum and product are of queries: of the lane's two (0, 1), or,
// Turned, of a column.
template <bool Turned, typename T, int N, typename Source, typename LogSum, typename Product>
__device__ inline void weigh(const Source& source, float (&p)[N][4], float (&ds)[N][4], int query, int key,
                             LogSum log_sum, Product product) {
  const unsigned kept = source.dropout.drops()
                            ? source.dropout.template kept<N, Turned>(Turned ? key : query, Turned ? query : key)
                            : ~0u;
  const int group = lane_index() / 4, place = lane_index() % 4;
  const bool sees_all = source.sees_all(query, key, Turned ? kWarpRows : N * 8);
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int at = 0; at < 4; ++at) {
      const int row = group + at / 2 * 8, column = n * 8 + 2 * place + at % 2;
      const int i = query + (Turned ? column : row), j = key + (Turned ? row : column);
      const int of = Turned ? column : at / 2;
      const float x = sees_all ? p[n][at] * source.scale : source.score(p[n][at], i, j), total = log_sum(of);
      const float weight = x == kMasked || total == kMasked ? 0.0f : exponential<T>(x - total);
      const bool stays = (kept >> (4 * n + at) & 1) != 0;
      const float grad = stays ? ds[n][at] * source.dropout.factor : 0.0f;
      ds[n][at] = weight == 0.0f ? 0.0f : weight * (grad - product(of));
      p[n][at] = stays ? weight * source.dropout.factor : 0.0f;
    }
  }
}

template <template <typename> class Source, typename T, int D>
__global__ void __launch_bounds__(kThreads) grad_queries_kernel(typename Source<T>::Call call) {
  using Room = BackwardRoom<T, D>;
  constexpr int K = Room::K;
  const int row_tiles = (call.queries() + kRows - 1) / kRows;
  const int first = static_cast<int>(blockIdx.x % row_tiles) * kRows, warp = warp_index(), group = lane_index() / 4;
  const Shared<T> q_tile(0), grad_tile(Room::kOwn), k_tile(Room::kFirst), v_tile(Room::kFirst + Room::kOther);
  const auto spare = Shared<float>(Room::kSpareAt) + warp * kSpare<T, K>;
  const Source<T> source(call, static_cast<int>(blockIdx.x) / row_tiles, Shared<float>(Room::kSource));

  const int rows = min(source.queries - first, kRows), row = first + warp * kWarpRows;
  const bool active = warp * kWarpRows < rows;
  const int key_end = source.key_end(first + rows), mine = warp * kWarpRows * kLine<T, D>;
  load_tile<T, D>(block_crew(), q_tile, round_up(rows, 16), source.width,
                  [&](int i) { return source.q_row(first + i); });
  load_tile<T, D>(block_crew(), grad_tile, round_up(rows, 16), source.value_width,
                  [&](int i) { return source.grad_out_row(first + i); });
  const float totals[2] = {source.log_sum(row + group), source.log_sum(row + group + 8)};
  const float products[2] = {source.product(row + group), source.product(row + group + 8)};

  float grad_q[D / 8][4];
  for (bool calm = false;; calm = true) {
#pragma unroll
    for (auto& tile : grad_q) tile[0] = tile[1] = tile[2] = tile[3] = 0.0f;
    for (int key = 0; key < key_end; key += K) {
      const int count = min(key_end - key, K), filled = round_up(count, 16);
      load_tile<T, D>(block_crew(), k_tile, filled, source.width, [&](int j) { return source.k_row(key + j); });
      load_tile<T, D>(block_crew(), v_tile, filled, source.value_width, [&](int j) { return source.v_row(key + j); });
      commit_copies();
      wait_for_copies<0>();
      __syncthreads();
      float p[K / 8][4] = {}, ds[K / 8][4] = {};
      if (active) {
        multiply_rows<T, D>(p, q_tile + mine, k_tile, source.width, count);
        multiply_rows<T, D>(ds, grad_tile + mine, v_tile, source.value_width, count);
        weigh<false, T>(
            source, p, ds, row, key, [&](int r) { return totals[r]; }, [&](int r) { return products[r]; });
      }
      if (calm) {  // what is seen of a wild key came through its scores
        __syncthreads();
        calm_tile<T, D>(block_crew(), k_tile, count, source.width);
        __syncthreads();
      }
      if (active) multiply_columns<T, D>(grad_q, ds, k_tile, source.width, count, spare);
      __syncthreads();
    }
    if (calm || !source.hides()) break;
    bool wild = false;
    for_each_sum(grad_q, [&](float& x, int, int) { wild = wild || !is_finite(x); });
    if (__syncthreads_or(active && wild ? 1 : 0) == 0) break;
  }
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  if (active) {
    store_rows<T, D>(q_tile + mine, grad_q, source.scale, source.scale, source.width,
                     [&](int i) { return source.grad_q_row(row + i); });
  }
  source.keep_padding(0, Shared<float>(Room::kFirst), grad_q, active, row);
}

template <template <typename> class Source, typename T, int D>
__global__ void __launch_bounds__(kThreads) grad_keys_kernel(typename Source<T>::Call call) {
  using Room = BackwardRoom<T, D>;
  constexpr int K = Room::K;
  const int key_tiles = (call.keys() + kRows - 1) / kRows;
  const int first = static_cast<int>(blockIdx.x % key_tiles) * kRows, warp = warp_index();
  const int owner = static_cast<int>(blockIdx.x) / key_tiles, sharing = call.heads() / call.key_heads();
  const Shared<T> k_tile(0), v_tile(Room::kOwn), q_tile(Room::kFirst), grad_tile(Room::kFirst + Room::kOther);
  const Shared<float> totals(Room::kRowsAt), products = totals + K;
  const auto spare = Shared<float>(Room::kSpareAt) + warp * kSpare<T, K>;

  const int keys = min(call.keys() - first, kRows), key = first + warp * kWarpRows;
  const bool active = warp * kWarpRows < keys;
  const int mine = warp * kWarpRows * kLine<T, D>;
  float grad_k[D / 8][4] = {}, grad_v[D / 8][4] = {};
  for (int problem = owner * sharing; problem < (owner + 1) * sharing; ++problem) {
    const Source<T> source(call, problem, Shared<float>(Room::kSource));
    if (problem == owner * sharing) {
      load_tile<T, D>(block_crew(), k_tile, round_up(keys, 16), source.width,
                      [&](int j) { return source.k_row(first + j); });
      load_tile<T, D>(block_crew(), v_tile, round_up(keys, 16), source.value_width,
                      [&](int j) { return source.v_row(first + j); });
    }
    for (int row = source.first_row(first) / 16 * 16; row < source.queries; row += K) {
      const int count = min(source.queries - row, K), filled = round_up(count, 16);
      load_tile<T, D>(block_crew(), q_tile, filled, source.width, [&](int i) { return source.q_row(row + i); });
      load_tile<T, D>(block_crew(), grad_tile, filled, source.value_width,
                      [&](int i) { return source.grad_out_row(row + i); });
      commit_copies();
      for (int i = static_cast<int>(threadIdx.x); i < K; i += kThreads) {
        totals[i] = source.log_sum(row + i);
        products[i] = source.product(row + i);
      }
      wait_for_copies<0>();
      __syncthreads();
      if (active) {
        float p[K / 8][4] = {}, ds[K / 8][4] = {};
        multiply_rows<T, D>(p, k_tile + mine, q_tile, source.width, count);
        multiply_rows<T, D>(ds, v_tile + mine, grad_tile, source.value_width, count);
        weigh<true, T>(
            source, p, ds, row, key, [&](int i) { return static_cast<float>(totals[i]); },
            [&](int i) { return static_cast<float>(products[i]); });
        multiply_columns<T, D>(grad_v, p, grad_tile, source.value_width, count, spare);
        multiply_columns<T, D>(grad_k, ds, q_tile, source.width, count, spare);
      }
      __syncthreads();
    }
  }
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  const Source<T> source(call, owner * sharing, Shared<float>(Room::kSource));
  if (active) {
    store_rows<T, D>(k_tile + mine, grad_k, source.scale, source.scale, source.width,
                     [&](int j) { return source.grad_k_row(key + j); });
    store_rows<T, D>(v_tile + mine, grad_v, 1.0f, 1.0f, source.value_width,
                     [&](int j) { return source.grad_v_row(key + j); });
  }
  source.keep_padding(1, Shared<float>(Room::kFirst), grad_k, active, key);
  source.keep_padding(2, Shared<float>(Room::kFirst), grad_v, active, key);
}

// The three passes; `call` has room for the products.
template <template <typename> class Source, typename Call>
Status launch_backward(Number type, const Call& call, Stream stream) {
  return with_type(type, [&](auto number) -> Status {
    using T = decltype(number);
    const int64_t row_blocks = call.problems() * divide_up(call.queries(), kRows);
    const int64_t key_blocks = call.problems() / call.heads() * call.key_heads() * divide_up(call.keys(), kRows);
    if (const Status status =
            launch_blocks(products_kernel<Source, T>, row_blocks, call.source_bytes(), stream, call)) {
      return status;
    }
    return with_lines(call.widest(), [&](auto lines) -> Status {
      constexpr int D = decltype(lines)::value;
      const size_t bytes = BackwardRoom<T, D>::kSource + call.source_bytes();
      if (const Status status = launch_blocks(grad_keys_kernel<Source, T, D>, key_blocks, bytes, stream, call)) {
        return status;
      }
      return launch_blocks(grad_queries_kernel<Source, T, D>, row_blocks, bytes, stream, call);
    });
  });
}

}  // namespace fovea::kernels::cuda
