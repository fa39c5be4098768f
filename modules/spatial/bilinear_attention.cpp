#include "fovea/modules/spatial/bilinear_attention.h"

#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"

namespace fovea {
namespace {

std::shared_ptr<BilinearAttentionImpl::ConvNormRelu> conv_norm_relu(int64_t in, int64_t out) {
  return std::make_shared<BilinearAttentionImpl::ConvNormRelu>(
      Conv2dOptions{.in_channels = in, .out_channels = out, .bias = false});
}

}  // namespace

BilinearAttentionImpl::BilinearAttentionImpl(const BilinearAttentionOptions& options) : options(options) {
  require(options.channels > 0 && options.block > 0 && options.groups > 0 && options.reduction > 0, ErrorKind::usage,
          "BilinearAttention: channels {}, block {}, groups {} and reduction {} must be positive", options.channels,
          options.block, options.groups, options.reduction);
  require_probability("BilinearAttention", "dropout", options.dropout);
  reset();
}

void BilinearAttentionImpl::reset() {
  const int64_t width =
      rounded_width(static_cast<double>(options.channels) / static_cast<double>(options.reduction), 8, 8);
  require(width % options.groups == 0, ErrorKind::usage, "BilinearAttention: groups {} do not divide the width {}",
          options.groups, width);
  conv1 = register_module("conv1", conv_norm_relu(options.channels, width));
  ba = register_module("ba", std::make_shared<TransformImpl>(options, width));
  conv2 = register_module("conv2", conv_norm_relu(width, options.channels));
}

void BilinearAttentionImpl::TransformImpl::reset() {
  conv1 = register_module("conv1", conv_norm_relu(width, options.groups));
  conv_p = register_module("conv_p", std::make_shared<SideImpl>(options.groups, options.block, true));
  conv_q = register_module("conv_q", std::make_shared<SideImpl>(options.groups, options.block, false));
  conv2 = register_module("conv2", conv_norm_relu(width, width));
}

void BilinearAttentionImpl::SideImpl::reset() {
  const int64_t out = groups * block * block;
  weight = register_parameter("weight", init_kaiming_uniform({out, groups, rows ? block : 1, rows ? 1 : block}));
  bias = register_parameter("bias", init_fan_in_uniform({out}, groups * block));
}

at::Tensor BilinearAttentionImpl::SideImpl::forward(const at::Tensor& pooled) {
  const auto shares = at::sigmoid(at::linear(pooled, weight.flatten(1), bias)).view({-1, groups, block, block});
  return shares / shares.sum(rows ? 3 : 2, /*keepdim=*/true);
}

at::Tensor BilinearAttentionImpl::TransformImpl::forward(const at::Tensor& x, const BilinearAttentionImpl* caller) {
  const int64_t B = x.size(0), h = x.size(2), w = x.size(3), block = options.block, groups = options.groups;
  const int64_t below = (block - h % block) % block, right = (block - w % block) % block;
  const auto padded = [&](const at::Tensor& t) { return at::constant_pad_nd(t, {0, right, 0, below}); };
  const auto seen = padded(conv1->forward(x));  // [B,g,…]; zeros are never the largest of what ReLU gives
  const auto p = conv_p->forward(std::get<0>(at::adaptive_max_pool2d(seen, {block, 1})).flatten(1));
  const auto q = conv_q->forward(std::get<0>(at::adaptive_max_pool2d(seen, {1, block})).flatten(1));
  if (recording::wanted(caller)) {
    const TokenGridScope scope({.height = block, .width = block});
    // Block (i,u) reads P_ij·Q_vu of block (j,v).
    const auto pairs =
        p.view({B, groups, block, 1, block, 1}) * q.transpose(2, 3).reshape({B, groups, 1, block, 1, block});
    auto map = pairs.reshape({B, groups, block * block, block * block});
    const auto rows = recording::queries();
    if (!rows.empty()) map = map.index_select(2, at::tensor(rows, map.options().dtype(at::kLong)));
    recording::add(caller, MapKind::tokens, map, rows);
  }
  const auto parts = padded(x).reshape({B, groups, width / groups, block, (h + below) / block, w + right});
  const auto by_rows = at::matmul(p.unsqueeze(2), parts.flatten(4)).view(parts.sizes());  // [B,g,·,b,b]·[B,g,c,b,t·w]
  const auto columns = by_rows.reshape({B, groups, width / groups, h + below, block, (w + right) / block});
  // Σ_v y_v·Q_vu: blocks stand in the last dimension but one, pixels within a block in the last.
  const auto turned = at::matmul(q.transpose(2, 3).unsqueeze(2).unsqueeze(3), columns);
  const auto y = turned.reshape({B, width, h + below, w + right}).narrow(2, 0, h).narrow(3, 0, w);
  return conv2->forward(y);
}

at::Tensor BilinearAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("BilinearAttention", x, options.channels, conv1->conv->weight);
  const auto y = conv2->forward(ba->forward(conv1->forward(x), this));
  return x + at::feature_dropout(y, options.dropout, is_training());
}

}  // namespace fovea
