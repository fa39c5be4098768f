#include "fovea/modules/mixing/temporal_conv.h"

#include "fovea/modules/checks.h"

namespace fovea {

TemporalConvImpl::TemporalConvImpl(const TemporalConvOptions& options) : options(options) {
  require(!options.channels.empty() && options.channels.size() <= 32, ErrorKind::usage,
          "TemporalConv: expected 1 to 32 blocks, got channels [{}]", fmt::join(options.channels, ","));
  require_probability("TemporalConv", "dropout", options.dropout);
  reset();
}

void TemporalConvImpl::reset() {
  network = register_module("network", std::make_shared<NetworkImpl>(options));
}

void TemporalConvImpl::NetworkImpl::reset() {
  blocks.clear();
  CausalConv1dOptions conv{.in_channels = options.in_channels, .kernel = options.kernel, .weight_norm = true};
  for (const int64_t channels : options.channels) {
    conv.out_channels = channels;
    blocks.push_back(
        register_module(std::to_string(blocks.size()), std::make_shared<BlockImpl>(conv, options.dropout)));
    conv.in_channels = channels;
    conv.dilation *= 2;
  }
}

void TemporalConvImpl::BlockImpl::reset() {
  auto second = first;
  second.in_channels = first.out_channels;
  conv1 = register_module("conv1", CausalConv1d(first));
  conv2 = register_module("conv2", CausalConv1d(second));
  downsample = nullptr;
  if (first.in_channels != first.out_channels) {
    downsample = register_module("downsample",
                                 CausalConv1d({.in_channels = first.in_channels, .out_channels = first.out_channels}));
  }
}

at::Tensor TemporalConvImpl::BlockImpl::forward(const at::Tensor& x) {
  const auto active = [&](const at::Tensor& y) { return at::dropout(at::relu(y), dropout, is_training()); };
  const auto y = active(conv2->forward(active(conv1->forward(x))));
  return at::relu(y + (downsample ? downsample->forward(x) : x));
}

at::Tensor TemporalConvImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (const auto& block : network->blocks) y = block->forward(y);
  return y;
}

int64_t TemporalConvImpl::receptive_field() const {
  return 1 + 2 * (options.kernel - 1) * ((int64_t{1} << options.channels.size()) - 1);
}

}  // namespace fovea
