// The attention of MaxViT: in blocks of neighbouring tokens, or in grids that spread over the whole image.
#pragma once

#include "fovea/modules/window/window_attention_layer.h"

namespace fovea {

struct PartitionAttentionOptions {
  WindowAttentionOptions layer = {};  // without shift; its windows divide every input
  bool strided = false;               // a window takes tokens of the whole image at even distances (grid attention)
  bool head_first = false;     // rows of qkv: q, k and v of one head after the other; false: q of all heads, then k, v
  bool table_by_head = false;  // the table is [H,2Wh−1,2Ww−1], by the offset key − query, as TensorFlow has it;
                               // false: [(2Wh−1)(2Ww−1),H], by query − key, as Swin's
};

// Key `relative_position_bias_table`.
class RelativePositionTableImpl : public Module<RelativePositionTableImpl> {
 public:
  explicit RelativePositionTableImpl(const PartitionAttentionOptions& options) : options(options) { reset(); }
  void reset() override;
  std::vector<at::Tensor*> tables() override { return {&index}; }
  at::Tensor by_offset() const;  // → [(2Wh−1)(2Ww−1),H], which `index` reads

  PartitionAttentionOptions options;
  at::Tensor relative_position_bias_table;
  at::Tensor index;  // int64 [W²,W²]
};

// proj(window_attention(qkv(x))) with a bias for each offset between two tokens of a window; with `strided`, the offset
// counts the steps of the grid. Keys `qkv.*`, `rel_pos.relative_position_bias_table`, `proj.*`.
// Throws Error(data) for a grid that the windows do not divide.
// Tu et al., MaxViT: Multi-Axis Vision Transformer, 2022, https://arxiv.org/abs/2204.01697
class PartitionAttentionImpl : public Module<PartitionAttentionImpl> {
 public:
  explicit PartitionAttentionImpl(const PartitionAttentionOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override;
  void pack() override;  // keeps the bias of every pair of tokens
  void unpack() override { packed_bias_.drop(); }

  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same

  PartitionAttentionOptions options;
  Linear qkv{nullptr};
  std::shared_ptr<RelativePositionTableImpl> rel_pos;
  Linear proj{nullptr};

 private:
  WindowTables windows_;  // of options.layer.grid
  PackedWeight packed_bias_;
};
FOVEA_MODULE(PartitionAttention);

}  // namespace fovea
