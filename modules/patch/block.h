// The pre-LN transformer block.
#pragma once

#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/modules/patch/layer_scale.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/patch/self_attention.h"
#include "fovea/modules/patch/swiglu.h"

namespace fovea {

// stem + branch, written over `branch` when nobody differentiates: one buffer less to fill. `branch` must be the
// caller's own tensor.
at::Tensor add_residual(const at::Tensor& stem, at::Tensor branch);

struct PreNormBlockOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  double mlp_ratio = 4;  // hidden width of the MLP / dim
  bool qkv_bias = true;
  double attn_drop = 0;    // dropout of the attention probabilities
  double proj_drop = 0;    // dropout after each product of MLP and attention
  double drop_path = 0;    // probability that a sample skips a branch in training
  double layer_scale = 0;  // first value of the LayerScale factors; 0: none
  double norm_eps = 1e-6;
  Activation activation = Activation::gelu;  // of the MLP
  bool swiglu = false;                       // the MLP is gated, and its gate counts in mlp_ratio
};

// x ← x + ls1(attn(norm1(x))), then x ← x + ls2(mlp(norm2(x))), each branch under DropPath.
// Keys `norm1`, `attn`, `norm2`, `mlp`, and `ls1`, `ls2` with layer_scale.
// Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, https://arxiv.org/abs/2002.04745
class PreNormBlockImpl : public Module<PreNormBlockImpl> {
 public:
  explicit PreNormBlockImpl(const PreNormBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,N,D] → same

  PreNormBlockOptions options;
  LayerNorm norm1{nullptr};
  SelfAttention attn{nullptr};
  LayerScale ls1{nullptr};  // null without layer_scale
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};        // null with swiglu
  SwiGlu swiglu{nullptr};  // else null; its key is `mlp` as well
  LayerScale ls2{nullptr};
  DropPath drop_path{nullptr};
};
FOVEA_MODULE(PreNormBlock);

}  // namespace fovea
