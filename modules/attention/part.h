// Attention over some of the keys, so that the parts can be joined: what a sequence that is cut into pieces needs.
#pragma once

#include "fovea/modules/attention/problem.h"

namespace fovea {

struct AttentionPart {
  at::Tensor output;  // [B,H,N,e], the mean of these keys' values; 0 where every key is masked
  at::Tensor log_sum;  // [B,H,N], log Σ exp(score) over these keys, −∞ where every key is masked; float32 or float64
};

// Without dropout and bias; the mask hides whole keys ([B,1,1,M]), beside causality. By the CPU's kernel where it
// accepts, which holds no N×M scores, else by the formula.
AttentionPart attention_part(const AttentionProblem& problem);

// Nothing yet: zeros and −∞, in the type of the sums.
AttentionPart empty_part(const AttentionProblem& problem);

// The attention over the keys of both: out = Σ_p exp(log_sum_p − log_sum)·out_p, log_sum = log Σ_p exp(log_sum_p).
// Milakov and Gimelshein, Online normalizer calculation for softmax, 2018, https://arxiv.org/abs/1805.02867
AttentionPart joined(const AttentionPart& a, const AttentionPart& b);

struct PartGradients {
  at::Tensor q, k, v;  // in the type of the sums or of the problem; q is this part's share of its gradient
};

// What the keys of `problem` contribute, given output and sum over all keys and the gradient of that output.
PartGradients attention_part_gradients(const AttentionProblem& problem, const AttentionPart& whole,
                                       const at::Tensor& grad);

// Rows of attention_cpu.cpp, for problems that cpu_refuses accepts.
AttentionPart cpu_attention_part(const AttentionProblem& problem);
PartGradients cpu_attention_part_gradients(const AttentionProblem& problem, const AttentionPart& whole,
                                           const at::Tensor& grad);

}  // namespace fovea
