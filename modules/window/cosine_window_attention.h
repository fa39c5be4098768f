// The attention layer of SwinV2: cosines in windows, with a bias that a small network computes.
#pragma once

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/position/window_bias.h"
#include "fovea/modules/window/window_attention_layer.h"

namespace fovea {

struct CosineWindowAttentionOptions {
  WindowAttentionOptions layer = {};
  std::array<int64_t, 2> pretrained = {0, 0};  // tokens: the window of the weights' training; 0: layer.window
};

// proj(window_attention(τ·q/|q|, k/|k|, v)) with τ = exp(min(logit_scale, ln 100)) of each head, and the bias of
// LogRelativeBias. Keys have no bias of their own. A padded token enters as zeros.
// Keys `qkv.weight`, `q_bias` and `v_bias` [C] with qkv_bias, `logit_scale` [H,1,1], `cpb_mlp.*`, `proj.*`.
// Liu et al., Swin Transformer V2, 2022, https://arxiv.org/abs/2111.09883
class CosineWindowAttentionImpl : public Module<CosineWindowAttentionImpl> {
 public:
  explicit CosineWindowAttentionImpl(const CosineWindowAttentionOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override;

  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same, any h and w

  CosineWindowAttentionOptions options;
  Linear qkv{nullptr};
  at::Tensor q_bias;  // undefined without qkv_bias
  at::Tensor v_bias;
  at::Tensor logit_scale;
  LogRelativeBias cpb_mlp{nullptr};
  Linear proj{nullptr};

 private:
  at::Tensor scaled(const at::Tensor& qkv) const;

  WindowTables windows_;  // of options.layer.grid
};
FOVEA_MODULE(CosineWindowAttention);

}  // namespace fovea
