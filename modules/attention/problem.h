// A validated call of the attention core, as its backends see it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "fovea/modules/attention/attention.h"

namespace fovea {

struct AttentionProblem {
  at::Tensor q;     // [B,H,N,d]
  at::Tensor k;     // [B,K,M,d], K divides H
  at::Tensor v;     // [B,K,M,e]
  at::Tensor mask;  // bool [B|1,H|1,N|1,M] of `mask` and `key_lengths` together, or undefined
  at::Tensor bias;  // [B|1,H|1,N|1,M] in q's type, or undefined
  double scale = 1;
  double dropout = 0;
  at::Tensor factors = {};  // of the weights [B,H,N,M], dropout that is drawn already; undefined: none
  bool causal = false;
  CausalAlign causal_align = CausalAlign::last;
  DropoutMode dropout_mode = DropoutMode::scale;

  int64_t heads_per_key() const { return k.size(1) == 0 ? 1 : q.size(1) / k.size(1); }
};

// Checks shapes, types and devices; throws as attention() documents.
AttentionProblem validate(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionArgs& args);

// The bool mask of the problem with the causal one, or undefined where everything may be attended to.
at::Tensor full_mask(const AttentionProblem& problem);

// Throws Error(data) for a query that the problem has not.
void check_queries(const AttentionProblem& problem, const std::vector<int64_t>& queries);

// Only these query rows of the problem, causality turned into a mask.
AttentionProblem select_queries(const AttentionProblem& problem, const std::vector<int64_t>& queries);

struct AttentionResult {
  at::Tensor output;   // [B,H,N,e]
  at::Tensor weights;  // [B,H,N,M]
};

// The readable implementation, written for the eye: the oracle of all others.
AttentionResult reference_attention(const AttentionProblem& problem);

// The weights alone, in float32 at least, with the same policy on masks and NaN.
at::Tensor attention_weights(const AttentionProblem& problem);

// Some rows of the weights; empty: all.
struct AttentionRowsProblem {
  const AttentionProblem& problem;
  const std::vector<int64_t>& queries;
};

// Rows of the tables.
std::string cpu_refuses(const AttentionProblem& problem);
at::Tensor cpu_attention(const AttentionProblem& problem);
std::string cuda_refuses(const AttentionProblem& problem);
at::Tensor cuda_attention(const AttentionProblem& problem);
at::Tensor cuda_attention_rows(const AttentionRowsProblem& rows);  // [B,H,n,M], float32
std::string sdpa_refuses(const AttentionProblem& problem);
at::Tensor sdpa_attention(const AttentionProblem& problem);

}  // namespace fovea
