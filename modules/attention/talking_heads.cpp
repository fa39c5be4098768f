#include "fovea/modules/attention/talking_heads.h"

#include <cmath>

#include "fovea/modules/attention/heads.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// [B,H,N,M] → the same, mixed over H.
at::Tensor mix_heads(const at::Tensor& scores, LinearImpl& mix) {
  const auto mixed = at::matmul(mix.weight, scores.flatten(2)).view_as(scores);  // [H,H]·[B,H,N·M]
  return mixed + mix.bias.view({-1, 1, 1});
}

void record(const torch::nn::Module* module, const at::Tensor& weights) {
  if (!recording::wanted(module)) return;
  const auto queries = recording::queries();
  const auto rows = [queries](const at::Tensor& t) {
    return queries.empty() ? t : t.index_select(2, at::tensor(queries, at::device(t.device()).dtype(at::kLong)));
  };
  const size_t index = recording::add(module, MapKind::tokens, rows(weights), queries);
  if (recording::gradients(module) && weights.requires_grad()) recording::add_gradient(index, weights, rows);
}

}  // namespace

TalkingHeadsImpl::TalkingHeadsImpl(const TalkingHeadsOptions& options) : options(options) {
  require_heads("TalkingHeads", options.dim, options.heads);
  require_probability("TalkingHeads", "attn_drop", options.attn_drop);
  require_probability("TalkingHeads", "proj_drop", options.proj_drop);
  reset();
}

void TalkingHeadsImpl::reset() {
  const auto linear = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(name, Linear({.in_features = in, .out_features = out, .bias = bias, .initial_std = 0.02}));
  };
  qkv = linear("qkv", options.dim, 3 * options.dim, options.qkv_bias);
  proj = linear("proj", options.dim, options.dim, true);
  proj_l = linear("proj_l", options.heads, options.heads, true);
  proj_w = linear("proj_w", options.heads, options.heads, true);
}

at::Tensor TalkingHeadsImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.dim, ErrorKind::data, "TalkingHeads: expected [B,N,{}], got {}",
          options.dim, shape_text(x));
  const auto parts = split_heads(qkv->forward(x), 3, options.heads);
  const double scale = 1 / std::sqrt(static_cast<double>(options.dim / options.heads));
  const auto scores = at::matmul(parts[0] * scale, parts[1].transpose(-2, -1));  // [B,H,N,N]
  const auto weights = at::softmax(mix_heads(scores, *proj_l), -1);
  record(this, weights);
  const auto spoken = at::dropout(mix_heads(weights, *proj_w), options.attn_drop, is_training());
  const auto mixed = at::matmul(spoken, parts[2]);  // [B,H,N,d]
  return at::dropout(proj->forward(join_heads(mixed)), options.proj_drop, is_training());
}

}  // namespace fovea
