// The transformer block of Swin and SwinV2.
#pragma once

#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/drop_path.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/window/cosine_window_attention.h"
#include "fovea/modules/window/window_attention_layer.h"

namespace fovea {

struct SwinBlockOptions {
  WindowAttentionOptions attention = {};  // its proj_drop is the MLP's too
  double mlp_ratio = 4;                   // hidden width of the MLP / dim
  double drop_path = 0;                   // probability that a sample skips a branch in training
  bool v2 = false;                        // SwinV2: attention by cosines, and norms behind the branches
  int64_t pretrained_window = 0;          // SwinV2: the side of the window of the weights' training; 0: the own one
};

// x ← x + attn(norm1(x)), then x ← x + mlp(norm2(x)), each branch under DropPath; with v2, x ← x + norm1(attn(x)), then
// x ← x + norm2(mlp(x)), whose norms start closed (weight 0). Keys `norm1`, `attn`, `norm2`, `mlp`.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
// Liu et al., Swin Transformer V2, 2022, https://arxiv.org/abs/2111.09883
class SwinBlockImpl : public Module<SwinBlockImpl> {
 public:
  explicit SwinBlockImpl(const SwinBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same

  SwinBlockOptions options;
  LayerNorm norm1{nullptr};
  WindowAttention attn{nullptr};               // null with v2
  CosineWindowAttention cosine_attn{nullptr};  // else null; its key is `attn` as well
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};
  DropPath drop_path{nullptr};
};
FOVEA_MODULE(SwinBlock);

}  // namespace fovea
