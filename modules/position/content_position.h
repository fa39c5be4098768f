// Scores from what two tokens hold and where they stand, together: e(h_i, h_j, p_i, p_j).
#pragma once

#include "fovea/modules/attention/position_encoding.h"
#include "fovea/modules/inference/linear.h"

namespace fovea {

enum class ContentPositionScore {
  product,   // (q_i + A·p_i)·(k_j + B·p_j)/√d: content and place, each with each
  additive,  // vᵀ·tanh(q_i + k_j + A·p_i + B·p_j)
};

struct ContentPositionOptions {
  int64_t heads = 0;
  int64_t head_width = 0;  // d
  int64_t places = 0;      // the most there can be
  int64_t width = 0;       // of a place's vector p; 0: heads · head_width
  ContentPositionScore score = ContentPositionScore::product;
};

// Places have learned vectors p of their own, with their own products for queries and keys, a head each. `product`
// costs no more than adding places to the tokens and leaves every backend on (its score is the core's for scale 1/√d;
// another scale replaces √d). `additive` takes the place of q·k altogether and holds N·M·d numbers.
//
// Keys `places` [places,width], `query.weight` and `key.weight` [H·d,width], `v` [H,d] with additive. Throws
// Error(usage) for numbers that are not positive, Error(data) for q of other heads or width and for tokens beyond the
// last place. Ke et al., Rethinking Positional Encoding in Language Pre-training, 2021,
// https://arxiv.org/abs/2006.15595 (the product); Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473 (the sum)
class ContentPositionImpl : public Module<ContentPositionImpl>, public PositionEncoding {
 public:
  explicit ContentPositionImpl(const ContentPositionOptions& options);
  void reset() override;
  Turned rotate(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;
  at::Tensor bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const override;

  ContentPositionOptions options;  // with the zero resolved
  at::Tensor places;
  Linear query = nullptr;
  Linear key = nullptr;
  at::Tensor v;  // undefined with product

 private:
  Turned with_places(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const;
};
FOVEA_MODULE(ContentPosition);

}  // namespace fovea
