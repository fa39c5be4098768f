#include "fovea/modules/spatial/external_attention.h"

#include <cmath>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

void ExternalAttentionImpl::MemoryImpl::reset() {
  weight = register_parameter("weight", init_truncated_normal(shape, std::sqrt(2.0 / static_cast<double>(shape[0]))));
}

void ExternalAttentionImpl::OutputImpl::reset() {
  conv = register_module("0", Conv2d({.in_channels = channels, .out_channels = channels, .bias = false}));
  norm = register_module("1", BatchNorm2d({.channels = channels}));
}

ExternalAttentionImpl::ExternalAttentionImpl(const ExternalAttentionOptions& options) : options(options) {
  require(options.channels > 0 && options.slots > 0, ErrorKind::usage,
          "ExternalAttention: channels {} and slots {} must be positive", options.channels, options.slots);
  reset();
}

void ExternalAttentionImpl::reset() {
  conv1 = register_module("conv1", Conv2d({.in_channels = options.channels, .out_channels = options.channels}));
  linear_0 = register_module("linear_0", std::make_shared<MemoryImpl>(options.slots, options.channels));
  linear_1 = register_module("linear_1", std::make_shared<MemoryImpl>(options.channels, options.slots));
  conv2 = register_module("conv2", std::make_shared<OutputImpl>(options.channels));
}

at::Tensor ExternalAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("ExternalAttention", x, options.channels, conv1->weight);
  const auto tokens = conv1->forward(x).flatten(2).transpose(1, 2);          // [B,N,C]
  const auto scores = at::matmul(tokens, linear_0->weight.squeeze(-1).t());  // [B,N,S]
  const auto shares = at::softmax(scores, 1);                                // over pixels
  const auto weights = shares / (shares.sum(-1, /*keepdim=*/true) + 1e-9);   // over slots
  if (recording::wanted(this)) {
    const TokenGridScope scope({.height = x.size(2), .width = x.size(3)});
    const auto rows = recording::queries();
    const auto kept =
        rows.empty() ? weights : weights.index_select(1, at::tensor(rows, weights.options().dtype(at::kLong)));
    recording::add(this, MapKind::tokens, kept.unsqueeze(1), rows);
  }
  const auto read = at::matmul(weights, linear_1->weight.squeeze(-1).t());  // [B,N,C]
  return x + conv_norm(conv2->conv.ptr(), conv2->norm.ptr(), read.transpose(1, 2).reshape(x.sizes()));
}

}  // namespace fovea
