#include "fovea/vision/models/maxvit.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/modules/patch/block.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr int64_t kStride = 32;  // pixels between two tokens of the last stage

MaxVitOptions checked(const MaxVitOptions& o) {
  const auto positive = [](const std::vector<int64_t>& numbers) {
    return !numbers.empty() && *std::min_element(numbers.begin(), numbers.end()) > 0;
  };
  require(o.stem.size() == 2 && o.dims.size() == 4 && o.depths.size() == 4 && positive(o.stem) && positive(o.dims) &&
              positive(o.depths),
          ErrorKind::usage, "MaxVit: expected 2 channels of the stem, 4 dims and 4 depths, got [{}], [{}] and [{}]",
          fmt::join(o.stem, ","), fmt::join(o.dims, ","), fmt::join(o.depths, ","));
  require(o.image_size > 0 && o.image_size % kStride == 0, ErrorKind::usage,
          "MaxVit: image_size {} is no multiple of {}", o.image_size, kStride);
  require(o.head_width > 0 && o.in_channels > 0 && o.num_classes >= 0, ErrorKind::usage,
          "MaxVit: head_width {} and in_channels {} must be positive, num_classes {} not negative", o.head_width,
          o.in_channels, o.num_classes);
  return o;
}

double norm_eps(const MaxVitOptions& options) {  // of its convolutions
  return options.tensorflow ? 1e-3 : 1e-5;
}

Activation activation(const MaxVitOptions& options) {  // likewise
  return options.tensorflow ? Activation::gelu_tanh : Activation::silu;
}

LayerNormOptions last_norm(const MaxVitOptions& options) {
  return {.features = options.dims.back(), .eps = options.tensorflow ? 1e-5 : 1e-6};
}

MaxVitBlockOptions block_options(const MaxVitOptions& options, int64_t in_channels, size_t stage, int64_t index) {
  const int64_t dim = options.dims[stage], window = options.image_size / kStride;
  const int64_t side = options.image_size >> (stage + 2);  // of the grid of tokens
  const int64_t inner = 4 * (options.tensorflow ? dim : in_channels);
  const int64_t before = std::accumulate(options.depths.begin(), options.depths.begin() + stage, int64_t{0});
  const int64_t total = std::accumulate(options.depths.begin(), options.depths.end(), int64_t{0});
  const double drop_path = drop_path_rate(options.drop_path, before + index, total);
  return {.conv = {.in_channels = in_channels,
                   .inner_channels = inner,
                   .out_channels = dim,
                   .stride = index == 0 ? 2 : 1,
                   .squeeze = options.tensorflow ? dim / 4 : inner / 16,
                   .bias = options.tensorflow,
                   .activation = activation(options),
                   .same_padding = options.tensorflow,
                   .norm_eps = norm_eps(options),
                   .drop_path = drop_path},
          .partition = {.attention = {.layer = {.dim = dim,
                                                .heads = dim / options.head_width,
                                                .window = {window, window},
                                                .grid = {side, side}},
                                      .head_first = !options.tensorflow,
                                      .table_by_head = options.tensorflow},
                        .activation = options.tensorflow ? Activation::gelu_tanh : Activation::gelu,
                        .norm_eps = last_norm(options).eps,
                        .drop_path = drop_path}};
}

}  // namespace

PartitionBlockImpl::PartitionBlockImpl(const PartitionBlockOptions& options) : options(options) {
  require(options.mlp_ratio > 0, ErrorKind::usage, "PartitionBlock: mlp_ratio {} must be positive", options.mlp_ratio);
  reset();
}

void PartitionBlockImpl::reset() {
  const auto& layer = options.attention.layer;
  const LayerNormOptions layer_norm = {.features = layer.dim, .eps = options.norm_eps};
  norm1 = register_module("norm1", LayerNorm(layer_norm));
  attn = register_module("attn", PartitionAttention(options.attention));
  norm2 = register_module("norm2", LayerNorm(layer_norm));
  mlp = register_module("mlp", Mlp({.features = layer.dim,
                                    .hidden = static_cast<int64_t>(static_cast<double>(layer.dim) * options.mlp_ratio),
                                    .activation = options.activation,
                                    .dropout = layer.proj_drop}));
  drop_path = register_module("drop_path", DropPath(DropPathOptions{.probability = options.drop_path}));
}

at::Tensor PartitionBlockImpl::forward(const at::Tensor& x) {
  const auto attended = add_residual(x, drop_path->forward(attn->forward(norm1->forward(x))));
  return add_residual(attended, drop_path->forward(mlp->forward(norm2->forward(attended))));
}

void MaxVitBlockImpl::reset() {
  conv = register_module("conv", std::make_shared<MbConvImpl>(options.conv));
  attn_block = register_module("attn_block", std::make_shared<PartitionBlockImpl>(options.partition));
  auto grid = options.partition;
  grid.attention.strided = true;
  attn_grid = register_module("attn_grid", std::make_shared<PartitionBlockImpl>(grid));
}

at::Tensor MaxVitBlockImpl::forward(const at::Tensor& x) {
  const auto tokens = conv->forward(x).permute({0, 2, 3, 1});  // [B,C',h',w'] → [B,h',w',C']
  const TokenGridScope scope({.height = tokens.size(1), .width = tokens.size(2)});
  return attn_grid->forward(attn_block->forward(tokens)).permute({0, 3, 1, 2});
}

void MaxVitStageImpl::reset() {
  blocks = register_module("blocks", std::make_shared<ChainImpl<MaxVitBlockImpl>>(options.blocks));
}

void MaxVitStemImpl::reset() {
  const auto step = [&](int64_t in_channels, int64_t out_channels, int64_t stride) {
    auto conv = square_conv(in_channels, out_channels, 3, stride);
    conv.bias = options.tensorflow;
    return make_conv_step({.conv = conv, .norm = {.eps = norm_eps(options)}, .same_padding = options.tensorflow});
  };
  first = step(options.in_channels, options.stem[0], 2);
  second = step(options.stem[0], options.stem[1], 1);
  second.bn = nullptr;
  register_module("conv1", first.conv);
  register_module("norm1", first.bn);
  register_module("conv2", second.conv);
}

void MaxVitStemImpl::pack() {
  first.pack();
  second.pack();
}

at::Tensor MaxVitStemImpl::forward(const at::Tensor& x) {
  return second.run(first.run(x, activation(options)));
}

void MaxVitHeadImpl::reset() {
  const int64_t dim = options.dims.back();
  norm = nullptr;
  pre_logits = nullptr;
  fc = nullptr;
  if (options.tensorflow) {
    norm = register_module("norm", LayerNorm(last_norm(options)));
    pre_logits = register_module("pre_logits", std::make_shared<ClassifierHeadImpl>(dim, dim));
  }
  if (options.num_classes > 0) {
    fc = register_module("fc", Linear({.in_features = dim, .out_features = options.num_classes, .initial_std = 0.02}));
  }
}

at::Tensor MaxVitHeadImpl::pool(const at::Tensor& features) {
  const auto mean = features.mean({2, 3});
  return norm ? pre_logits->forward(norm->forward(mean)).tanh() : mean;
}

MaxVitImpl::MaxVitImpl(const MaxVitOptions& options) : options(checked(options)) {
  reset();
}

void MaxVitImpl::reset() {
  stem = register_module("stem", std::make_shared<MaxVitStemImpl>(options));
  std::vector<MaxVitStageOptions> made(options.dims.size());
  int64_t channels = options.stem[1];
  for (size_t stage = 0; stage < made.size(); ++stage) {
    for (int64_t i = 0; i < options.depths[stage]; ++i) {
      made[stage].blocks.push_back(block_options(options, channels, stage, i));
      channels = options.dims[stage];
    }
  }
  stages = register_module("stages", std::make_shared<ChainImpl<MaxVitStageImpl>>(made));
  norm = nullptr;
  if (!options.tensorflow) norm = register_module("norm", LayerNorm(last_norm(options)));
  head = register_module("head", std::make_shared<MaxVitHeadImpl>(options));
}

TokenGrid MaxVitImpl::grid(int64_t height, int64_t width) const {
  const int64_t side = options.image_size;
  require(height > 0 && width > 0 && height % side == 0 && width % side == 0, ErrorKind::data,
          "MaxVit: an image of {}x{} pixels (height x width) does not divide into windows of {}x{}", height, width,
          side, side);
  return {.height = height / kStride, .width = width / kStride};
}

at::Tensor MaxVitImpl::forward_features(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "MaxVit: expected [B,{},h,w], got {}",
          options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  const auto features = stages->forward(stem->forward(x));
  return norm ? norm->forward(features.permute({0, 2, 3, 1})).permute({0, 3, 1, 2}) : features;
}

}  // namespace fovea
