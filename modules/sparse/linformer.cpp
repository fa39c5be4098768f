#include "fovea/modules/sparse/linformer.h"

#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {

LinformerImpl::LinformerImpl(const LinformerOptions& options) : options(options) {
  require(options.tokens > 0 && options.projected > 0, ErrorKind::usage,
          "Linformer: tokens {} and projected {} must be positive", options.tokens, options.projected);
  reset();
}

void LinformerImpl::reset() {
  const auto projection = [&](const char* name) {
    return register_parameter(name, init_fan_in_uniform({options.projected, options.tokens}, options.tokens));
  };
  E = projection("E");
  F = options.shared ? at::Tensor() : projection("F");
}

at::Tensor LinformerImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& key_mask) {
  require(k.dim() == 4 && v.dim() == 4 && k.size(2) == v.size(2) && k.size(2) <= options.tokens, ErrorKind::data,
          "Linformer: expected k [B,H,M,d] and v [B,H,M,e] with M up to {}, got {}, {}", options.tokens, shape_text(k),
          shape_text(v));
  require(!key_mask.defined() || (key_mask.scalar_type() == at::kBool && key_mask.dim() == 2 &&
                                  key_mask.size(0) == k.size(0) && key_mask.size(1) == k.size(2)),
          ErrorKind::data, "Linformer: expected key_mask bool [B,M], got {} for k {}", shape_text(key_mask),
          shape_text(k));
  const auto shown = key_mask.defined() ? key_mask.unsqueeze(1) : key_mask;
  const auto projected = [&](const at::Tensor& by, const at::Tensor& t) {
    return at::matmul(by.narrow(1, 0, t.size(2)), hide_rows(t, shown));
  };
  return attention(q, projected(E, k), projected(options.shared ? E : F, v), {.module = this});
}

}  // namespace fovea
