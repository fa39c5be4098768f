// Self-attention whose heads are mixed before and after the softmax.
#pragma once

#include "fovea/modules/inference/linear.h"

namespace fovea {

struct TalkingHeadsOptions {
  int64_t dim = 0;  // width of a token, a multiple of heads
  int64_t heads = 0;
  bool qkv_bias = true;
  double attn_drop = 0;  // dropout of the mixed probabilities
  double proj_drop = 0;  // dropout after the last product
};

// proj(proj_w(softmax(proj_l(q·kᵀ/√d)))·v), where proj_l and proj_w mix the H scores of a pair of tokens. Keys `qkv.*`,
// `proj_l.*` and `proj_w.*` [H,H], `proj.*`. A recorder gets the softmax: rows sum to 1.
// Shazeer et al., Talking-Heads Attention, 2020, https://arxiv.org/abs/2003.02436, as CaiT has it: Touvron et al.,
// Going deeper with Image Transformers, 2021, https://arxiv.org/abs/2103.17239
class TalkingHeadsImpl : public Module<TalkingHeadsImpl> {
 public:
  explicit TalkingHeadsImpl(const TalkingHeadsOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,N,D] → same

  TalkingHeadsOptions options;
  Linear qkv{nullptr};
  Linear proj_l{nullptr};
  Linear proj_w{nullptr};
  Linear proj{nullptr};
};
FOVEA_MODULE(TalkingHeads);

}  // namespace fovea
