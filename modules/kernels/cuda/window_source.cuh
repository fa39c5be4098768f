// Where the rows of one head of one window lie: roll, padding and partition are indices, the shift mask compares
// regions, the bias is read from its table. Nothing is moved in memory before or after.
#pragma once

#include "fovea/modules/kernels/cuda/attention.cuh"
#include "fovea/modules/kernels/window_call.h"

namespace fovea::kernels::cuda {

// All that a pass of window_attention() is told. A problem is (image · windows + window) · H + head.
struct WindowPass {
  WindowCall call;
  void* out = nullptr;              // [B,h,w,C] of the forward pass
  float* log_sum = nullptr;         // [B,windows,H,W²], written forward (null: not wanted), read backward
  const void* saved_out = nullptr;  // backward
  const void* grad_out = nullptr;
  void* grad_qkv = nullptr;
  float* products = nullptr;  // [B,windows,H,W²]
  float* padding = nullptr;   // [B·windows·tiles of rows,3C], what flows to padded tokens; null: not wanted
  int rows = static_cast<int>(call.rows()), columns = static_cast<int>(call.columns());  // of windows
  int places = static_cast<int>(call.places());

  __host__ __device__ int heads() const { return static_cast<int>(call.heads); }
  __host__ __device__ int key_heads() const { return heads(); }
  __host__ __device__ int64_t problems() const { return call.batch * rows * columns * call.heads; }
  __host__ __device__ int queries() const { return places; }
  __host__ __device__ int keys() const { return places; }
  __host__ __device__ int widest() const { return static_cast<int>(call.head_width); }
  size_t source_bytes() const { return static_cast<size_t>(call.places()) * 2 * sizeof(int); }
};

template <typename T>
class Windowed {
 public:
  using Call = WindowPass;

  // The room keeps two integers a place; every thread of the block comes here.
  __device__ Windowed(const Call& all, int problem, Shared<float> room)
      : all_(all),
        problem_(problem),
        head_(problem % all.heads()),
        window_(problem / all.heads() % (all.rows * all.columns)),
        image_(problem / all.heads() / (all.rows * all.columns)),
        tokens_(room.as<int>()),
        codes_(room.as<int>() + all.queries()),
        queries(all.queries()),
        keys(all.queries()),
        width(static_cast<int>(all.call.head_width)),
        value_width(static_cast<int>(all.call.head_width)),
        scale(static_cast<float>(all.call.scale)),
        dropout(all.call.dropout, all.call.seed, all.call.offset, problem) {
    const int high = static_cast<int>(all.call.window_height), wide = static_cast<int>(all.call.window_width);
    const int down = static_cast<int>(all.call.shift_height), right = static_cast<int>(all.call.shift_width);
    const int height = static_cast<int>(all.call.height), across = static_cast<int>(all.call.width);
    const int top = window_ / all.columns * high, left = window_ % all.columns * wide;
    const bool at_bottom = down > 0 && top + high == all.rows * high;
    const bool at_right = right > 0 && left + wide == all.columns * wide;
    for (int i = static_cast<int>(threadIdx.x); i < queries; i += kThreads) {
      const int y = i / wide, x = i % wide;
      const int row = token_of(top + y, height, all.rows * high, down);
      const int column = token_of(left + x, across, all.columns * wide, right);
      const int token = row < 0 || column < 0 ? -1 : row * across + column;
      // Tokens that the roll brought from the other side are apart from the rest of the window.
      const int region = (at_bottom && y >= high - down ? 1 : 0) + (at_right && x >= wide - right ? 2 : 0);
      tokens_[i] = token * 4 + region;
      codes_[i] = y * (2 * wide - 1) + x;
    }
    __syncthreads();
  }

  // Null: none, or zeros.
  __device__ const T* q_row(int i) const { return qkv_row(0, i); }
  __device__ const T* k_row(int j) const { return qkv_row(1, j); }
  __device__ const T* v_row(int j) const { return qkv_row(2, j); }
  __device__ T* result_row(int i) const { return const_cast<T*>(map_row(all_.out, i)); }
  __device__ const T* out_row(int i) const { return map_row(all_.saved_out, i); }
  __device__ const T* grad_out_row(int i) const { return map_row(all_.grad_out, i); }
  __device__ T* grad_q_row(int i) const { return grad_row(0, i); }
  __device__ T* grad_k_row(int j) const { return grad_row(1, j); }
  __device__ T* grad_v_row(int j) const { return grad_row(2, j); }

  __device__ void keep_log_sum(int i, float log_sum) const {
    if (i < queries && all_.log_sum != nullptr) all_.log_sum[problem_ * queries + i] = log_sum;
  }
  __device__ void keep_product(int i, float product) const { all_.products[problem_ * queries + i] = product; }
  __device__ float log_sum(int i) const { return i < queries ? all_.log_sum[problem_ * queries + i] : kMasked; }
  __device__ float product(int i) const { return i < queries ? all_.products[problem_ * queries + i] : 0.0f; }

  __device__ int key_end(int) const { return keys; }
  __device__ int first_row(int) const { return 0; }
  __device__ bool hides() const { return false; }

  __device__ bool sees_all(int, int, int) const { return false; }
  __device__ float score(float product, int i, int j) const {
    if (i >= queries || j >= keys) return kMasked;
    const float x = product * scale + bias(i, j);
    return all_.call.complete_bias == nullptr && region(i) != region(j) ? x + kApart : x;
  }

  // Sums what flows to padded tokens over the block's rows, from `row` in this warp: part 0 queries, 1 keys, 2 values.
  template <int N>
  __device__ void keep_padding(int part, Shared<float> room, const float (&sums)[N][4], bool active, int row) const {
    if (all_.padding == nullptr) return;
    const int group = lane_index() / 4, place = lane_index() % 4, warp = warp_index();
    const float factor = part < 2 ? scale : 1.0f;
    const auto weight = [&](int i) { return active && i < queries && token(i) < 0 ? factor : 0.0f; };
    float total[N][2];
    sum_of_rows(total, sums, weight(row + group), weight(row + group + 8));
    for (int n = 0; n < N && group == 0; ++n) {
      for (int c = 0; c < 2; ++c) room[warp * N * 8 + n * 8 + 2 * place + c] = total[n][c];
    }
    __syncthreads();
    const int64_t channels = all_.call.channels(), tiles = (queries + kRows - 1) / kRows;
    const int64_t tile =
        (static_cast<int64_t>(image_) * all_.rows * all_.columns + window_) * tiles + (row - warp * kWarpRows) / kRows;
    float* to = all_.padding + (tile * 3 + part) * channels + head_ * width;
    for (int c = static_cast<int>(threadIdx.x); c < width; c += kThreads) {
      float sum = 0.0f;
      for (int w = 0; w < kWarps; ++w) sum += room[w * N * 8 + c];
      to[c] = sum;
    }
    __syncthreads();
  }

 private:
  static constexpr float kApart = -100.0f;  // of the published networks: e⁻¹⁰⁰ leaves nothing, yet stays finite

  // Of a place of one side of the padded grid; −1: padding.
  __device__ int token_of(int place, int length, int padded, int shift) const {
    const int around = all_.call.pad_first ? padded : length;
    if (place >= around) return -1;
    const int token = (place + shift) % around;
    return token < length ? token : -1;
  }

  __device__ int token(int i) const { return static_cast<int>(tokens_[i]) >> 2; }
  __device__ int region(int i) const { return static_cast<int>(tokens_[i]) & 3; }

  __device__ const T* qkv_row(int part, int i) const {
    if (i >= queries) return nullptr;
    const auto& call = all_.call;
    const int64_t column = part * call.channels() + head_ * width;
    const int at = token(i), w = static_cast<int>(call.width);
    if (at < 0) return call.pad_row == nullptr ? nullptr : static_cast<const T*>(call.pad_row) + column;
    return static_cast<const T*>(call.qkv) + image_ * call.image_stride + at / w * call.row_stride +
           at % w * call.token_stride + column;
  }
  __device__ const T* map_row(const void* map, int i) const {
    if (i >= queries || token(i) < 0) return nullptr;
    const auto& call = all_.call;
    return static_cast<const T*>(map) + (image_ * call.height * call.width + token(i)) * call.channels() +
           head_ * width;
  }
  __device__ T* grad_row(int part, int i) const {
    if (i >= queries || token(i) < 0) return nullptr;
    const auto& call = all_.call;
    return static_cast<T*>(all_.grad_qkv) +
           ((image_ * call.height * call.width + token(i)) * 3 + part) * call.channels() + head_ * width;
  }

  __device__ float bias(int i, int j) const {
    const auto& call = all_.call;
    const int64_t square = static_cast<int64_t>(queries) * queries, at = static_cast<int64_t>(i) * queries + j;
    if (call.table != nullptr) {
      const int span = static_cast<int>(2 * call.window_width - 1);
      const int64_t offset = call.table_index != nullptr
                                 ? call.table_index[at]
                                 : codes_[i] - codes_[j] + static_cast<int>(call.window_height - 1) * span + span / 2;
      return widen(static_cast<const T*>(call.table)[offset * call.heads + head_]);
    }
    if (call.bias != nullptr) return widen(static_cast<const T*>(call.bias)[head_ * square + at]);
    if (call.complete_bias != nullptr) {
      return widen(static_cast<const T*>(call.complete_bias)[(window_ * call.heads + head_) * square + at]);
    }
    return 0.0f;
  }

  const Call& all_;  // the kernel's parameter
  int64_t problem_;
  int head_, window_, image_;
  Shared<int> tokens_;  // 4 · token + region
  Shared<int> codes_;   // whose differences are the rows of Swin's table

 public:
  const int queries, keys, width, value_width;
  const float scale;
  const Dropout dropout;
};

}  // namespace fovea::kernels::cuda
