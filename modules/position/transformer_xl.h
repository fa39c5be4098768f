// The four terms of Transformer-XL: content by content and by place, each also with a learned query of its own.
#pragma once

#include "fovea/modules/attention/position_encoding.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

struct TransformerXlPositionOptions {
  int64_t heads = 0;
  int64_t head_width = 0;  // d
  int64_t width = 0;       // of the sinusoids that W_R reads, even; 0: heads · head_width
};

// Score of query i and key j: ((q_i + u)·k_j + (q_i + v)·(W_R·R_{i−j}))/√d with R the sinusoids of the distance (all
// sines, then all cosines), u and v a learned vector a head. Distances of both signs and any size.
//
// Keys `r.weight` [H·d,width], `u` [H,d], `v` [H,d]. Throws Error(usage) for widths that do not suit, Error(data)
// naming the shape of q when its heads or width are others. Dai et al., Transformer-XL, 2019,
// https://arxiv.org/abs/1901.02860
class TransformerXlPositionImpl : public Module<TransformerXlPositionImpl>, public PositionEncoding {
 public:
  explicit TransformerXlPositionImpl(const TransformerXlPositionOptions& options);
  void reset() override;
  Turned rotate(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  TransformerXlPositionOptions options;  // with the zero resolved
  Linear r = nullptr;
  at::Tensor u;
  at::Tensor v;
};
FOVEA_MODULE(TransformerXlPosition);

}  // namespace fovea
