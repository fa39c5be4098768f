#include "fovea/modules/attention/additive.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

struct Problem {
  at::Tensor query, keys, values, v, mask;
};

Problem validate(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& v,
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

AdditiveAttentionResult reference(const Problem& p) {
  const auto sums = p.query.unsqueeze(2) + hide_rows(p.keys, p.mask).unsqueeze(1);  // [B,N,M,a]
  const auto scores = at::matmul(at::tanh(sums), p.v);                              // [B,N,M]
  const auto weights = masked_softmax(scores, p.mask.defined() ? p.mask.unsqueeze(1) : p.mask);
  return {at::matmul(weights, hide_rows(p.values, p.mask)), weights};
}

const BackendTable<AdditiveAttentionResult, Problem>& backends() {
  static const BackendTable<AdditiveAttentionResult, Problem> table(
      "additive_attention", {{"reference", [](const Problem&) { return std::string(); }, reference}});
  return table;
}

}  // namespace

AdditiveAttentionResult additive_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                                           const at::Tensor& v, const AdditiveAttentionArgs& args) {
  const auto result = backends().run(validate(query, keys, values, v, args.mask), args.backend);
  if (recording::wanted(args.module)) recording::add(args.module, MapKind::tokens, result.weights.unsqueeze(1));
  return result;
}

}  // namespace fovea
