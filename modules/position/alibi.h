// ALiBi: scores fall linearly with the distance, each head with its own slope.
#pragma once

#include "fovea/modules/attention/position_encoding.h"

namespace fovea {

// 2^(−8/H), 2^(−16/H), … 2^(−8); for H that is no power of two the slopes of the next lower one, then every other slope
// of the next higher one: float32 [H].
at::Tensor alibi_slopes(int64_t heads);

// −slope_h·|i − j|. With a causal mask this is the paper's bias. Throws Error(usage) for heads that are not positive.
// Press et al., Train Short, Test Long, 2022, https://arxiv.org/abs/2108.12409
class AlibiPosition : public PositionEncoding {
 public:
  explicit AlibiPosition(int64_t heads);
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

 private:
  at::Tensor slopes_;
};

}  // namespace fovea
