// Learned biases of a window or grid of tokens: Swin's table, and SwinV2's small network over log-spaced offsets.
#pragma once

#include <array>

#include "fovea/modules/attention/position_encoding.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

struct GridRelativeBiasOptions {
  int64_t heads = 0;
  std::array<int64_t, 2> window = {0, 0};  // tokens: height, width
};

// bias_h = table[offset of rows and columns][h] for the W² tokens of a window in row order. Keys
// `relative_position_bias_table` [(2Wh−1)(2Ww−1),H] (Swin's). Throws Error(data) for another number of tokens.
// Liu et al., Swin Transformer, 2021, https://arxiv.org/abs/2103.14030
class GridRelativeBiasImpl : public Module<GridRelativeBiasImpl>, public PositionEncoding {
 public:
  explicit GridRelativeBiasImpl(const GridRelativeBiasOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override { return {&index_}; }
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  GridRelativeBiasOptions options;
  at::Tensor relative_position_bias_table;

 private:
  at::Tensor index_;
};
FOVEA_MODULE(GridRelativeBias);

struct LogRelativeBiasOptions {
  int64_t heads = 0;
  std::array<int64_t, 2> window = {0, 0};  // tokens: height, width
  std::array<int64_t, 2> pretrained = {
      0, 0};  // the window of the weights' training, which offsets are divided by; 0: window
  int64_t hidden = 512;
};

// bias_h = 16·sigmoid(W2·relu(W1·[Δy, Δx] + b1))_h with each offset as sign(t)·log₂(1 + |t|)/log₂ 8, t = 8·offset/
// (pretrained − 1), so that another window needs no other table. Keys `0.weight` [hidden,2], `0.bias`, `2.weight`
// [H,hidden] (SwinV2's cpb_mlp). Throws Error(data) for another number of tokens than the window's.
// Liu et al., Swin Transformer V2, 2022, https://arxiv.org/abs/2111.09883
class LogRelativeBiasImpl : public Module<LogRelativeBiasImpl>, public PositionEncoding {
 public:
  explicit LogRelativeBiasImpl(const LogRelativeBiasOptions& options);
  void reset() override;
  std::vector<at::Tensor*> tables() override { return {&index_, &offsets_}; }
  at::Tensor window_bias() const;  // [H,W²,W²]
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  LogRelativeBiasOptions options;
  Linear first = nullptr;
  Linear second = nullptr;

 private:
  at::Tensor index_;
  at::Tensor offsets_;  // float32 [(2Wh−1)(2Ww−1),2]
};
FOVEA_MODULE(LogRelativeBias);

}  // namespace fovea
