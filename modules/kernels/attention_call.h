// softmax(q·kᵀ·scale + bias, over the keys that are not masked)·v: what the kernels of every device are told.
//
// Dao et al., FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness, 2022,
// https://arxiv.org/abs/2205.14135
#pragma once

#include "fovea/modules/kernels/number.h"

namespace fovea::kernels {

// [B,H,N,·], strides in elements; the columns of a row lie next to each other. No data: there is none.
struct View {
  const void* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
};

struct MutableView {
  void* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
};

struct AttentionCall {
  Number type = Number::float32;  // of q, k, v, bias and the output; sums are float32, or float64 where it is
  int64_t batch = 0;              // B
  int64_t heads = 0;              // H
  int64_t key_heads = 0;          // K, divides H
  int64_t queries = 0;            // N
  int64_t keys = 0;               // M
  int64_t width = 0;              // d
  int64_t value_width = 0;        // e
  double scale = 1;
  bool causal = false;  // query i sees the keys up to i + causal_offset
  int64_t causal_offset = 0;
  View q;     // [B,H,N,d]
  View k;     // [B,K,M,d]
  View v;     // [B,K,M,e]
  View bias;  // [B,H,N,M], a stride of 0 where it broadcasts; −∞ masks
  View mask;  // bytes, 0 masks
  // Weights are left out with this probability, the others divided by 1 − it. Which ones is a function of seed, offset
  // and the weight's place alone, so that a backward pass finds them again.
  double dropout = 0;
  uint64_t seed = 0;
  uint64_t offset = 0;
};

struct AttentionGradients {
  View out;             // of attention_forward, as the two that follow
  const void* log_sum;  // [B,H,N]
  View grad_out;        // [B,H,N,e]
  MutableView grad_q;
  MutableView grad_k;  // per key head: the sum over the heads that share it
  MutableView grad_v;
  // Of the scores with the bias, in the type of the sums, as wide as the bias; null: not wanted. Added up where the
  // bias broadcasts (a stride of 0), so it begins with zeros; columns lie next to each other.
  MutableView grad_bias;
};

}  // namespace fovea::kernels
