// Rotary places: pairs of channels of q and k are turned by angles that grow with the place, so that their product
// depends on the distance alone.
#pragma once

#include "fovea/modules/attention/position_encoding.h"

namespace fovea {

enum class RotaryPairs {
  halves,    // channel i goes with i + d/2 (GPT-NeoX, Llama, Hugging Face)
  adjacent,  // channel 2i goes with 2i + 1 (the paper, GPT-J, EVA)
};

struct RotaryOptions {
  double base = 10000;  // ratio of the slowest turn to the fastest
  RotaryPairs pairs = RotaryPairs::halves;
  int64_t dimensions = 1;  // 1: along the line; 2: half of the channels by row, half by column of the grid
};

// Pair i of d is turned by place·base^(−2i/d); with two dimensions each half of the channels by its own coordinate.
// Tokens of the prefix stay as they are. Throws Error(data) unless 2 (4 on a grid) divides d and, on a grid, N = M =
// prefix + height·width. Su et al., RoFormer, 2021, https://arxiv.org/abs/2104.09864; Heo et al., Rotary Position
// Embedding for Vision Transformer, 2024, https://arxiv.org/abs/2403.13298
class RotaryPosition : public PositionEncoding {
 public:
  explicit RotaryPosition(const RotaryOptions& options = {});
  Turned rotate(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  RotaryOptions options;
};

}  // namespace fovea
