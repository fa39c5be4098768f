// LibTorch's fused scaled_dot_product_attention, where it computes what we promise.
#include <ATen/ATen.h>

#include <limits>

#include "fovea/modules/attention/problem.h"

namespace fovea {

std::string sdpa_refuses(const AttentionProblem& p) {
  if (p.q.numel() == 0 || p.k.numel() == 0 || p.v.numel() == 0) return "a dimension is empty";
  if (p.dropout > 0) return "dropout";
  if (p.causal && p.q.size(2) != p.k.size(2)) return "causal with N ≠ M (it aligns to the first key)";
  if (p.causal && (p.mask.defined() || p.bias.defined())) return "causal together with a mask or bias";
  if (p.causal || p.mask.defined()) {
    if (!at::isfinite(p.k).all().item<bool>() || !at::isfinite(p.v).all().item<bool>()) {
      return "NaN or infinity in keys or values under a mask";
    }
  }
  if (p.mask.defined()) {
    if (p.bias.defined()) return "both a mask and a bias";
    if (!p.mask.any(-1).all().item<bool>()) return "a fully masked row";
  }
  if (p.bias.defined() && p.bias.eq(-std::numeric_limits<double>::infinity()).any().item<bool>()) {
    return "−∞ in the bias";
  }
  return "";
}

at::Tensor sdpa_attention(const AttentionProblem& p) {
  const auto extra = p.mask.defined()   ? std::optional<at::Tensor>(p.mask)
                     : p.bias.defined() ? std::optional<at::Tensor>(p.bias)
                                        : std::nullopt;
  return at::scaled_dot_product_attention(p.q, p.k, p.v, extra, /*dropout_p=*/0.0, p.causal, p.scale,
                                          /*enable_gqa=*/p.heads_per_key() > 1);
}

}  // namespace fovea
