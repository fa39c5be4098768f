// Where the rows of one head of attention() lie and what its scores obey. Every kernel of attention is a template over
// such a source, so that windows (window_source.cuh) share all of them.
#pragma once

#include "fovea/modules/kernels/attention_call.h"
#include "fovea/modules/kernels/cuda/fragments.cuh"
#include "fovea/modules/kernels/cuda/philox.cuh"

namespace fovea::kernels::cuda {

// All that a pass of attention() is told; a pass reads what it needs.
struct DenseCall {
  AttentionCall call;
  MutableView out;           // of the forward pass
  float* log_sum = nullptr;  // [B,H,N], of the forward pass; null: not wanted
  AttentionGradients gradients = {};
  float* products = nullptr;  // [B,H,N], Σ out·grad_out of a row

  __host__ __device__ int heads() const { return static_cast<int>(call.heads); }
  __host__ __device__ int key_heads() const { return static_cast<int>(call.key_heads); }
  __host__ __device__ int64_t problems() const { return call.batch * call.heads; }
  __host__ __device__ int queries() const { return static_cast<int>(call.queries); }
  __host__ __device__ int keys() const { return static_cast<int>(call.keys); }
  __host__ __device__ int widest() const {
    return static_cast<int>(call.width > call.value_width ? call.width : call.value_width);
  }
  size_t source_bytes() const { return 0; }  // of shared memory
};

template <typename T>
class Dense {
 public:
  using Call = DenseCall;

  // `problem` counts heads of all images.
  __device__ Dense(const Call& all, int problem, Shared<float> /*room*/)
      : call_(all),
        problem_(problem),
        batch_(problem / all.heads()),
        head_(problem % all.heads()),
        key_head_(head_ / (all.heads() / all.key_heads())),
        queries(all.queries()),
        keys(all.keys()),
        width(static_cast<int>(all.call.width)),
        value_width(static_cast<int>(all.call.value_width)),
        scale(static_cast<float>(all.call.scale)),
        dropout(all.call.dropout, all.call.seed, all.call.offset, problem) {}

  // Null: none.
  __device__ const T* q_row(int i) const { return i < queries ? row(call_.call.q, head_, i) : nullptr; }
  __device__ const T* k_row(int j) const { return j < keys ? row(call_.call.k, key_head_, j) : nullptr; }
  __device__ const T* v_row(int j) const { return j < keys ? row(call_.call.v, key_head_, j) : nullptr; }
  __device__ T* result_row(int i) const { return i < queries ? row(call_.out, head_, i) : nullptr; }
  __device__ const T* out_row(int i) const { return i < queries ? row(call_.gradients.out, head_, i) : nullptr; }
  __device__ const T* grad_out_row(int i) const {
    return i < queries ? row(call_.gradients.grad_out, head_, i) : nullptr;
  }
  __device__ T* grad_q_row(int i) const { return i < queries ? row(call_.gradients.grad_q, head_, i) : nullptr; }
  __device__ T* grad_k_row(int j) const { return j < keys ? row(call_.gradients.grad_k, key_head_, j) : nullptr; }
  __device__ T* grad_v_row(int j) const { return j < keys ? row(call_.gradients.grad_v, key_head_, j) : nullptr; }

  __device__ void keep_log_sum(int i, float log_sum) const {
    if (i < queries && call_.log_sum != nullptr) call_.log_sum[problem_ * queries + i] = log_sum;
  }

  // log Σ exp of row i, after the forward pass.
  __device__ float log_sum(int i) const {
    return i < queries ? static_cast<const float*>(call_.gradients.log_sum)[problem_ * queries + i] : kMasked;
  }
  __device__ float product(int i) const { return i < queries ? call_.products[problem_ * queries + i] : 0.0f; }

  __device__ void keep_product(int i, float product) const { call_.products[problem_ * queries + i] = product; }

  // Windows have rows that stand for no token.
  template <int N>
  __device__ void keep_padding(int /*part*/, Shared<float> /*room*/, const float (&)[N][4], bool /*active*/,
                               int /*row*/) const {}

  // The first key that none of the rows before `end` sees, and the first row that sees key j.
  __device__ int key_end(int end) const {
    if (!call_.call.causal) return keys;
    return static_cast<int>(max(min(end + call_.call.causal_offset, call_.call.keys), int64_t{0}));
  }
  __device__ int first_row(int j) const {
    if (!call_.call.causal) return 0;
    return static_cast<int>(max(min(j - call_.call.causal_offset, call_.call.queries), int64_t{0}));
  }

  // True where a key may be hidden from a row, so that its NaN must be kept away.
  __device__ bool hides() const {
    return call_.call.causal || call_.call.mask.data != nullptr || call_.call.bias.data != nullptr;
  }

  // True where every row from `row` sees the `count` keys from `key` and nothing is added to their scores.
  __device__ bool sees_all(int row, int key, int count) const {
    return call_.call.mask.data == nullptr && call_.call.bias.data == nullptr && key + count <= keys &&
           (!call_.call.causal || key + count <= row + 1 + call_.call.causal_offset);
  }

  // What the softmax is taken of, of the product q·k; −∞ where row i does not see key j.
  __device__ float score(float product, int i, int j) const {
    const auto& call = call_.call;
    if (i >= queries || j >= keys || (call.causal && j > i + call.causal_offset)) return kMasked;
    if (call.mask.data != nullptr && row_of<uint8_t>(call.mask, head_, i)[j] == 0) return kMasked;
    if (call.bias.data == nullptr) return product * scale;
    const float bias = widen(row_of<T>(call.bias, head_, i)[j]);
    return bias == kMasked ? kMasked : product * scale + bias;
  }

 private:
  template <typename Value>
  __device__ const Value* row_of(const View& view, int head, int i) const {
    return static_cast<const Value*>(view.data) + batch_ * view.batch + head * view.head + i * view.row;
  }
  __device__ const T* row(const View& view, int head, int i) const { return row_of<T>(view, head, i); }
  __device__ T* row(const MutableView& view, int head, int i) const {
    return static_cast<T*>(view.data) + batch_ * view.batch + head * view.head + i * view.row;
  }

  const Call& call_;  // the kernel's parameter
  int64_t problem_;
  int batch_, head_, key_head_;

 public:
  const int queries, keys, width, value_width;
  const float scale;
  const Dropout dropout;
};

}  // namespace fovea::kernels::cuda
