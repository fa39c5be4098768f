// The one interface of relative positions: a layer turns q and k by it, or adds its bias to the scores.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace fovea {

// Where the tokens stand: keys at 0…M−1, queries at first…first+N−1; or, for what knows two dimensions, on a grid of
// height × width in row order behind `prefix` tokens that have no place.
struct PositionArgs {
  std::optional<int64_t> first = {};  // M − N unless given: the queries are the last of the keys
  int64_t height = 0;                 // 0: a line
  int64_t width = 0;
  int64_t prefix = 0;
};

class PositionEncoding {
 public:
  virtual ~PositionEncoding() = default;

  struct Turned {
    at::Tensor q, k;
  };
  // q [B,H,N,d] and k [B,K,M,d] as they enter the product. Throws Error(data) where they do not fit.
  virtual Turned rotate(const at::Tensor& q, const at::Tensor& k, const PositionArgs&) const { return {q, k}; }

  // Added to q·kᵀ·scale: [H,N,M] or [B,H,N,M], or undefined.
  virtual at::Tensor bias(const at::Tensor& /*q*/, const at::Tensor& /*k*/, const PositionArgs&) const { return {}; }
};

}  // namespace fovea
