// The block of a text decoder: it looks at the text so far, then at the image, then thinks.
#pragma once

#include "fovea/modules/attention/decode.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/mlp.h"

namespace fovea {

struct DecoderBlockOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  int64_t hidden = 0;      // width between the layers of the MLP
  int64_t memory_dim = 0;  // width of the image's tokens
  bool norm_first = true;  // pre-LN (GPT-2); else post-LN (BERT)
  Activation activation = Activation::gelu;
  double norm_eps = 1e-5;
  double dropout = 0;  // of attention probabilities and after each of the three parts, in training
};

// What one block keeps between steps.
struct DecoderBlockCache {
  KeyValueCache text;   // grows by a token a step
  KeyValueCache image;  // filled once; the beams of an image share it
};

// Attention of the newest tokens on the text so far. Keys `qkv.*`, `proj.*`.
class TextAttentionImpl : public Module<TextAttentionImpl> {
 public:
  explicit TextAttentionImpl(const DecoderBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, KeyValueCache& cache);  // x [R,n,D] → same

  DecoderBlockOptions options;
  Linear qkv{nullptr}, proj{nullptr};
};

// Attention of the text on the image. Keys `q.*`, `kv.*` (rows k, v), `proj.*`. Its maps are [B,H,R/B·n,M]: the rows of
// an image one after the other.
class ImageAttentionImpl : public Module<ImageAttentionImpl> {
 public:
  explicit ImageAttentionImpl(const DecoderBlockOptions& options);
  void reset() override;
  void look(const at::Tensor& memory, KeyValueCache& cache);            // memory [B,M,E], once an image
  at::Tensor forward(const at::Tensor& x, const KeyValueCache& cache);  // x [R,n,D] → same

  DecoderBlockOptions options;
  Linear q{nullptr}, kv{nullptr}, proj{nullptr};
};

// norm_first: x ← x + text(norm1(x)), x ← x + image(norm_cross(x)), x ← x + mlp(norm2(x)).
// Else: x ← norm1(x + text(x)), x ← norm_cross(x + image(x)), x ← norm2(x + mlp(x)).
// Keys `norm1`, `self_attn`, `norm_cross`, `cross_attn`, `norm2`, `mlp`. Throws Error(usage) for widths that do not
// fit. Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
class DecoderBlockImpl : public Module<DecoderBlockImpl> {
 public:
  explicit DecoderBlockImpl(const DecoderBlockOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, DecoderBlockCache& cache);  // x [R,n,D] → same

  DecoderBlockOptions options;
  LayerNorm norm1{nullptr}, norm_cross{nullptr}, norm2{nullptr};
  std::shared_ptr<TextAttentionImpl> self_attn;
  std::shared_ptr<ImageAttentionImpl> cross_attn;
  Mlp mlp{nullptr};
};
FOVEA_MODULE(DecoderBlock);

}  // namespace fovea
