#include "fovea/modules/attention/additive.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/kernels/cpu/additive.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

struct AdditiveProblem {
  at::Tensor query, keys, values, v, mask;
};

AdditiveProblem validate(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& v,
                         const at::Tensor& mask) {
  const bool fits = query.dim() == 3 && keys.dim() == 3 && values.dim() == 3 && v.dim() == 1 &&
                    query.size(2) == v.size(0) && keys.size(2) == v.size(0) && values.size(1) == keys.size(1) &&
                    values.size(0) == keys.size(0) && (keys.size(0) == query.size(0) || keys.size(0) == 1);
  require(fits, ErrorKind::data,
          "additive_attention: expected query [B,N,a], keys [B|1,M,a], values [B|1,M,e], v [a], got {}, {}, {}, {}",
          shape_text(query), shape_text(keys), shape_text(values), shape_text(v));
  if (!mask.defined()) return {query, keys, values, v, mask};
  require(mask.scalar_type() == at::kBool && mask.dim() == 2 && mask.size(1) == keys.size(1) &&
              (mask.size(0) == query.size(0) || mask.size(0) == 1),
          ErrorKind::data, "additive_attention: expected mask bool [B|1,M], got {} {} for keys {}",
          toString(mask.scalar_type()), shape_text(mask), shape_text(keys));
  return {query, keys, values, v, mask};
}

AdditiveAttentionResult additive_reference(const AdditiveProblem& p) {
  const auto sums = p.query.unsqueeze(2) + hide_rows(p.keys, p.mask).unsqueeze(1);  // [B,N,M,a]
  const auto scores = at::matmul(at::tanh(sums), p.v);                              // [B,N,M]
  const auto weights = masked_softmax(scores, p.mask.defined() ? p.mask.unsqueeze(1) : p.mask);
  return {at::matmul(weights, hide_rows(p.values, p.mask)), weights};
}

std::string additive_cpu_refuses(const AdditiveProblem& p) {
  if (const auto reason = cpu::refuses(p.query); !reason.empty()) return reason;
  for (const auto* t : {&p.keys, &p.values, &p.v}) {
    if (t->scalar_type() != p.query.scalar_type() || t->device() != p.query.device()) return "more than one type";
  }
  if (p.query.numel() == 0 || p.keys.numel() == 0 || p.values.numel() == 0) return "a dimension is empty";
  if (differentiates({p.query, p.keys, p.values, p.v})) return "gradients (it has no backward pass)";
  return "";
}

AdditiveAttentionResult additive_on_cpu(const AdditiveProblem& p) {
  const auto query = p.query.contiguous(), keys = p.keys.contiguous(), values = p.values.contiguous(),
             v = p.v.contiguous(), mask = p.mask.defined() ? p.mask.contiguous() : p.mask;
  const auto batch_stride = [](const at::Tensor& t) { return t.size(0) == 1 ? 0 : t.stride(0); };
  kernels::AdditiveCall call{.type = cpu::number(query),
                             .batch = query.size(0),
                             .queries = query.size(1),
                             .keys = keys.size(1),
                             .width = query.size(2),
                             .value_width = values.size(2),
                             .query = query.const_data_ptr(),
                             .key = keys.const_data_ptr(),
                             .value = values.const_data_ptr(),
                             .v = v.const_data_ptr(),
                             .key_batch = batch_stride(keys),
                             .value_batch = batch_stride(values)};
  if (mask.defined()) {
    call.mask = static_cast<const uint8_t*>(mask.const_data_ptr());
    call.mask_batch = batch_stride(mask);
  }
  const AdditiveAttentionResult result{at::empty({call.batch, call.queries, call.value_width}, query.options()),
                                       at::empty({call.batch, call.queries, call.keys}, query.options())};
  kernels::additive_forward(call, result.context.data_ptr(), result.weights.data_ptr(), cpu::runtime());
  return result;
}

const BackendTable<AdditiveAttentionResult, AdditiveProblem>& additive_backends() {
  static const BackendTable<AdditiveAttentionResult, AdditiveProblem> table(
      "additive_attention", {{"cpu", additive_cpu_refuses, additive_on_cpu},
                             {"reference", [](const AdditiveProblem&) { return std::string(); }, additive_reference}});
  return table;
}

}  // namespace

AdditiveAttentionResult additive_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                           const at::Tensor& v, const AdditiveAttentionArgs& args) {
  const auto result = additive_backends().run(validate(query, keys, values, v, args.mask), args.backend);
  if (recording::wanted(args.module)) recording::add(args.module, MapKind::tokens, result.weights.unsqueeze(1));
  return result;
}

}  // namespace fovea
