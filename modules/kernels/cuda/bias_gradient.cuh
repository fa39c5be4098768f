// The gradient of a bias: a block owns 64 rows × a tile of keys of it and adds up the gradients of the scores of all
// images, heads and rows that share it, in one order. Where few blocks would own much, each sum is taken in parts,
// which a second kernel adds.
#pragma once

#include "fovea/modules/kernels/cuda/attention_backward.cuh"

namespace fovea::kernels::cuda {

struct BiasSums {
  bool images_share = false;
  bool heads_share = false;
  bool rows_share = false;
  int parts = 1;
  int64_t part_stride = 0;
  MutableView to;  // float32, [B|1,H|1,N|1,M] of the first part

  // Those that have a gradient of their own, of `all`.
  __host__ __device__ int64_t images(int64_t all) const { return images_share ? 1 : all; }
  __host__ __device__ int64_t heads(int64_t all) const { return heads_share ? 1 : all; }
  __host__ __device__ int64_t rows(int64_t all) const { return rows_share ? 1 : all; }
};

template <template <typename> class Source, typename T, int D>
__global__ void __launch_bounds__(kThreads) grad_bias_kernel(typename Source<T>::Call call, BiasSums sums) {
  using Room = BackwardRoom<T, D>;
  constexpr int K = Room::K;
  const int64_t heads = call.heads(), images = call.problems() / heads;
  const int row_tiles = (call.queries() + kRows - 1) / kRows, key_tiles = (call.keys() + K - 1) / K;
  int64_t block = blockIdx.x;
  const auto next = [&](int64_t count) {
    const int64_t index = block % count;
    block /= count;
    return index;
  };
  const int64_t part = next(sums.parts);
  const int key = static_cast<int>(next(key_tiles)) * K, own_rows = static_cast<int>(next(sums.rows(row_tiles)));
  const int64_t own_head = next(sums.heads(heads)), own_image = next(sums.images(images));
  const int64_t all_rows = sums.rows_share ? row_tiles : 1, all_heads = sums.heads_share ? heads : 1;
  const int64_t items = all_rows * all_heads * (sums.images_share ? images : 1);

  const Shared<T> q_tile(0), grad_tile(Room::kOwn), k_tile(Room::kFirst), v_tile(Room::kFirst + Room::kOther);
  const int warp = warp_index(), mine = warp * kWarpRows * kLine<T, D>, group = lane_index() / 4;
  const int count = min(call.keys() - key, K), filled = round_up(count, 16);
  float total[K / 8][4] = {};
  for (int64_t item = part * items / sums.parts; item < (part + 1) * items / sums.parts; ++item) {
    const int first = (own_rows + static_cast<int>(item % all_rows)) * kRows;
    const int64_t head = own_head + item / all_rows % all_heads, image = own_image + item / all_rows / all_heads;
    const Source<T> source(call, static_cast<int>(image * heads + head), Shared<float>(Room::kSource));
    const int rows = min(source.queries - first, kRows), row = first + warp * kWarpRows;
    load_tile<T, D>(block_crew(), q_tile, round_up(rows, 16), source.width,
                    [&](int i) { return source.q_row(first + i); });
    load_tile<T, D>(block_crew(), grad_tile, round_up(rows, 16), source.value_width,
                    [&](int i) { return source.grad_out_row(first + i); });
    load_tile<T, D>(block_crew(), k_tile, filled, source.width, [&](int j) { return source.k_row(key + j); });
    load_tile<T, D>(block_crew(), v_tile, filled, source.value_width, [&](int j) { return source.v_row(key + j); });
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    if (warp * kWarpRows < rows) {
      float p[K / 8][4] = {}, ds[K / 8][4] = {};
      const float totals[2] = {source.log_sum(row + group), source.log_sum(row + group + 8)};
      const float products[2] = {source.product(row + group), source.product(row + group + 8)};
      multiply_rows<T, D>(p, q_tile + mine, k_tile, source.width, count);
      multiply_rows<T, D>(ds, grad_tile + mine, v_tile, source.value_width, count);
      weigh<false, T>(
          source, p, ds, row, key, [&](int r) { return totals[r]; }, [&](int r) { return products[r]; });
#pragma unroll
      for (int n = 0; n < K / 8; ++n) {
#pragma unroll
        for (int at = 0; at < 4; ++at) total[n][at] += ds[n][at];
      }
    }
    __syncthreads();
  }

  auto* to = static_cast<float*>(sums.to.data) + part * sums.part_stride + own_image * sums.to.batch +
             own_head * sums.to.head + key;
  if (!sums.rows_share) {
    const int row = own_rows * kRows + warp * kWarpRows;
    for_each_sum(total, [&](float& x, int i, int j) {
      if (row + i < call.queries() && j < count) to[(row + i) * sums.to.row + j] = x;
    });
    return;
  }
  const Shared<float> columns(0);  // of each warp
  float of_rows[K / 8][2];
  sum_of_rows(of_rows, total, 1.0f, 1.0f);
  for (int n = 0; n < K / 8 && lane_index() < 4; ++n) {
    for (int c = 0; c < 2; ++c) columns[warp * K + n * 8 + 2 * lane_index() + c] = of_rows[n][c];
  }
  __syncthreads();
  for (int j = static_cast<int>(threadIdx.x); j < count; j += kThreads) {
    float sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) sum += columns[w * K + j];
    to[j] = sum;
  }
}

constexpr int kSumThreads = 256;

// Adds `parts` of [images,heads,rows,columns], contiguous and `part_stride` apart, to `to`.
template <typename T>
__global__ void __launch_bounds__(kSumThreads)
    add_parts_kernel(const T* from, int64_t parts, int64_t part_stride, int64_t heads, int64_t rows, int64_t columns,
                     MutableView to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x;
  if (i >= part_stride) return;
  T sum{};
  for (int64_t part = 0; part < parts; ++part) sum += from[part * part_stride + i];
  const int64_t row = i / columns, head = row / rows;
  static_cast<T*>(to.data)[head / heads * to.batch + head % heads * to.head + row % rows * to.row + i % columns] = sum;
}

// Of a bias of this shape. Where the parts are more than one, they lie in a workspace.
template <typename Call>
BiasSums bias_sums(const Call& call, const MutableView& to) {
  BiasSums sums{.images_share = to.batch == 0, .heads_share = to.head == 0, .rows_share = to.row == 0, .to = to};
  const int64_t heads = call.heads(), images = call.problems() / heads, tiles = divide_up(call.queries(), kRows);
  const int64_t items =
      (sums.images_share ? images : 1) * (sums.heads_share ? heads : 1) * (sums.rows_share ? tiles : 1);
  const int64_t blocks = sums.images(images) * sums.heads(heads) * sums.rows(tiles) * divide_up(call.keys(), 64);
  const int64_t parts = blocks == 0 ? 1 : divide_up(kEnoughBlocks, blocks);
  sums.parts = static_cast<int>(parts < items ? parts : items);
  sums.part_stride = sums.images(images) * sums.heads(heads) * sums.rows(call.queries()) * call.keys();
  return sums;
}

inline size_t bias_workspace(const BiasSums& sums) {
  return sums.parts > 1 ? static_cast<size_t>(sums.parts * sums.part_stride) * sizeof(float) : 0;
}

template <template <typename> class Source, typename Call>
Status launch_bias_gradient(Number type, const Call& call, BiasSums sums, float* workspace, Stream stream) {
  if (sums.part_stride == 0) return nullptr;
  const int64_t heads = call.heads(), images = call.problems() / heads;
  const MutableView to = sums.to;
  const int64_t own_rows = sums.rows(call.queries()), own_heads = sums.heads(heads);
  if (sums.parts > 1) {
    sums.to = {workspace, own_heads * own_rows * call.keys(), own_rows * call.keys(), call.keys()};
  }
  const Status status = with_type(type, [&](auto number) {
    using T = decltype(number);
    return with_lines(call.widest(), [&](auto lines) {
      constexpr int D = decltype(lines)::value;
      const int64_t tiles = divide_up(call.queries(), kRows);
      const int64_t blocks = sums.images(images) * own_heads * sums.rows(tiles) *
                             divide_up(call.keys(), BackwardRoom<T, D>::K) * sums.parts;
      return launch_blocks(grad_bias_kernel<Source, T, D>, blocks, BackwardRoom<T, D>::kSource + call.source_bytes(),
                           stream, call, sums);
    });
  });
  if (status != nullptr || sums.parts == 1) return status;
  const auto blocks = static_cast<unsigned>(divide_up(sums.part_stride, kSumThreads));
  return launch(add_parts_kernel<float>, dim3(blocks), kSumThreads, 0, stream, workspace, sums.parts, sums.part_stride,
                own_heads, own_rows, call.keys(), to);
}

}  // namespace fovea::kernels::cuda
