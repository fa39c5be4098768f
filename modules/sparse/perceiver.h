// Perceiver: a small learned set of latents reads any number of inputs, and any number of queries reads the latents.
#pragma once

#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/mlp.h"

namespace fovea {

struct PerceiverReadOptions {
  int64_t width = 0;        // D of the queries and of the result
  int64_t input_width = 0;  // of what is read
  int64_t heads = 1;        // divides D
  int64_t mlp_ratio = 1;    // width of the MLP's hidden layer over D
};

// y = queries + attn(norm_q(queries), norm_x(x)), result y + mlp(norm_mlp(y)). queries [B,L,D], x [B,M,C] → [B,L,D];
// L·M scores. Keys `norm_q`, `norm_x`, `attn.{q,k,v,proj}`, `norm_mlp`, `mlp.{fc1,fc2}`. Throws Error(usage) for widths
// that do not suit, Error(data) naming the shapes. Jaegle et al., Perceiver IO, 2022, https://arxiv.org/abs/2107.14795
class PerceiverReadImpl : public Module<PerceiverReadImpl> {
 public:
  explicit PerceiverReadImpl(const PerceiverReadOptions& options);
  void reset() override;

  // mask bool [B,M], true = may be read.
  at::Tensor forward(const at::Tensor& queries, const at::Tensor& x, const at::Tensor& mask = {});

  PerceiverReadOptions options;
  LayerNorm norm_q = nullptr, norm_x = nullptr, norm_mlp = nullptr;
  MultiHeadAttention attn = nullptr;
  Mlp mlp = nullptr;
};
FOVEA_MODULE(PerceiverRead);

struct PerceiverEncoderOptions {
  int64_t latents = 0;  // L
  PerceiverReadOptions read;
};

// The latents read x [B,M,C] → [B,L,D]. Keys `latents` [L,D], `read.…`.
class PerceiverEncoderImpl : public Module<PerceiverEncoderImpl> {
 public:
  explicit PerceiverEncoderImpl(const PerceiverEncoderOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask = {});

  PerceiverEncoderOptions options;
  at::Tensor latents;
  PerceiverRead read = nullptr;
};
FOVEA_MODULE(PerceiverEncoder);

}  // namespace fovea
