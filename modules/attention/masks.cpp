#include "fovea/modules/attention/masks.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor length_mask(const at::Tensor& lengths, int64_t keys) {
  require(lengths.dim() == 1 && at::isIntegralType(lengths.scalar_type(), /*includeBool=*/false), ErrorKind::data,
          "length_mask: expected integer lengths [B], got {} {}", toString(lengths.scalar_type()), shape_text(lengths));
  if (lengths.numel() > 0) {
    const auto low = lengths.min().item<int64_t>();
    const auto high = lengths.max().item<int64_t>();
    require(low >= 0 && high <= keys, ErrorKind::data, "length_mask: lengths {}…{} do not lie in 0…{}", low, high,
            keys);
  }
  const auto positions = at::arange(keys, lengths.options().dtype(at::kLong));
  return (positions.unsqueeze(0) < lengths.unsqueeze(1)).view({lengths.size(0), 1, 1, keys});
}

at::Tensor padding_mask(const at::Tensor& ids, int64_t pad) {
  require(ids.dim() == 2, ErrorKind::data, "padding_mask: expected ids [B,M], got {} dimensions", ids.dim());
  return ids.ne(pad).view({ids.size(0), 1, 1, ids.size(1)});
}

at::Tensor causal_mask(int64_t queries, int64_t keys, CausalAlign align, at::Device device) {
  const int64_t shift = align == CausalAlign::last ? keys - queries : 0;
  return at::ones({queries, keys}, at::TensorOptions(at::kBool).device(device)).tril(shift);
}

at::Tensor combine_masks(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  if (!b.defined()) return a;
  return a.logical_and(b);
}

}  // namespace fovea
