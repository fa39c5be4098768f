#include "fovea/modules/attention/additive.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/additive_problem.h"
#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/autocast.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

AdditiveProblem validate(const at::Tensor& given_query, const at::Tensor& given_keys, const at::Tensor& given_values,
                         const at::Tensor& given_v, const AdditiveAttentionArgs& args) {
  const auto& mask = args.mask;
  const auto query = autocast(given_query), keys = autocast(given_keys), values = autocast(given_values),
             v = autocast(given_v);
  const bool fits = query.dim() == 3 && keys.dim() == 3 && values.dim() == 3 && v.dim() == 1 &&
                    query.size(2) == v.size(0) && keys.size(2) == v.size(0) && values.size(1) == keys.size(1) &&
                    values.size(0) == keys.size(0) && (keys.size(0) == query.size(0) || keys.size(0) == 1);
  require(fits, ErrorKind::data,
          "additive_attention: expected query [B,N,a], keys [B|1,M,a], values [B|1,M,e], v [a], got {}, {}, {}, {}",
          shape_text(query), shape_text(keys), shape_text(values), shape_text(v));
  if (!mask.defined()) return {query, keys, values, v, mask, args.relu};
  require(mask.scalar_type() == at::kBool && mask.dim() == 2 && mask.size(1) == keys.size(1) &&
              (mask.size(0) == query.size(0) || mask.size(0) == 1),
          ErrorKind::data, "additive_attention: expected mask bool [B|1,M], got {} {} for keys {}",
          toString(mask.scalar_type()), shape_text(mask), shape_text(keys));
  return {query, keys, values, v, mask, args.relu};
}

const BackendTable<AdditiveAttentionResult, AdditiveProblem>& additive_backends() {
  static const BackendTable<AdditiveAttentionResult, AdditiveProblem> table(
      "additive_attention", {{"cpu", additive_cpu_refuses, additive_on_cpu},
                             {"cuda", additive_cuda_refuses, additive_on_cuda},
                             {"reference", [](const AdditiveProblem&) { return std::string(); }, additive_reference}});
  return table;
}

}  // namespace

std::string additive_kernel_refuses(const AdditiveProblem& p) {
  for (const auto* t : {&p.keys, &p.values, &p.v}) {
    if (t->scalar_type() != p.query.scalar_type() || t->device() != p.query.device()) return "more than one type";
  }
  if (p.mask.defined() && p.mask.device() != p.query.device()) return "a mask on another device";
  if (p.query.numel() == 0 || p.keys.numel() == 0 || p.values.numel() == 0) return "a dimension is empty";
  return "";
}

PreparedAdditive::PreparedAdditive(const AdditiveProblem& p)
    : query(p.query.contiguous()),
      keys(p.keys.contiguous()),
      values(p.values.contiguous()),
      v(p.v.contiguous()),
      mask(p.mask.defined() ? p.mask.contiguous() : p.mask) {
  const auto batch_stride = [](const at::Tensor& t) { return t.size(0) == 1 ? 0 : t.stride(0); };
  call = {.type = kernel_tensors::number(query),
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
          .value_batch = batch_stride(values),
          .relu = p.relu};
  if (mask.defined()) {
    call.mask = static_cast<const uint8_t*>(mask.const_data_ptr());
    call.mask_batch = batch_stride(mask);
  }
}

AdditiveAttentionResult PreparedAdditive::empty_result() const {
  return {at::empty({call.batch, call.queries, call.value_width}, query.options()),
          at::empty({call.batch, call.queries, call.keys}, query.options())};
}

AdditiveAttentionResult additive_reference(const AdditiveProblem& p) {
  const auto sums = p.query.unsqueeze(2) + hide_rows(p.keys, p.mask).unsqueeze(1);  // [B,N,M,a]
  const auto scores = at::matmul(p.relu ? at::relu(sums) : at::tanh(sums), p.v);    // [B,N,M]
  const auto weights = masked_softmax(scores, p.mask.defined() ? p.mask.unsqueeze(1) : p.mask);
  return {at::matmul(weights, hide_rows(p.values, p.mask)), weights};
}

AdditiveAttentionResult additive_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                           const at::Tensor& v, const AdditiveAttentionArgs& args) {
  const auto result = additive_backends().run(validate(query, keys, values, v, args), args.backend);
  if (recording::wanted(args.module)) recording::add(args.module, MapKind::tokens, result.weights.unsqueeze(1));
  return result;
}

std::string explain_additive_backend(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                     const at::Tensor& v, const AdditiveAttentionArgs& args) {
  return additive_backends().explain(validate(query, keys, values, v, args));
}

}  // namespace fovea
