#include "fovea/vision/models/inception.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr double kNormEps = 1e-3;
constexpr auto kBlock = InceptionInput::block, kMean = InceptionInput::mean, kLast = InceptionInput::last,
               kBeforeLast = InceptionInput::before_last;

// The convolutions before the first block; those with `output` are followed by a pooling as between the blocks.
constexpr InceptionConv kStem[] = {
    {"Conv2d_1a_3x3", kBlock, 32, 3, 3, 2, false},       {"Conv2d_2a_3x3", kLast, 32, 3, 3, 1, false},
    {"Conv2d_2b_3x3", kLast, 64, 3, 3, 1, true, true},   {"Conv2d_3b_1x1", kLast, 80},
    {"Conv2d_4a_3x3", kLast, 192, 3, 3, 1, false, true},
};

using Convs = std::vector<InceptionConv>;

Convs block_a(int64_t pooled) {
  return {{"branch1x1", kBlock, 64, 1, 1, 1, true, true},
          {"branch5x5_1", kBlock, 48},
          {"branch5x5_2", kLast, 64, 5, 5, 1, true, true},
          {"branch3x3dbl_1", kBlock, 64},
          {"branch3x3dbl_2", kLast, 96, 3, 3},
          {"branch3x3dbl_3", kLast, 96, 3, 3, 1, true, true},
          {"branch_pool", kMean, pooled, 1, 1, 1, true, true}};
}

const Convs kB = {{"branch3x3", kBlock, 384, 3, 3, 2, false, true},
                  {"branch3x3dbl_1", kBlock, 64},
                  {"branch3x3dbl_2", kLast, 96, 3, 3},
                  {"branch3x3dbl_3", kLast, 96, 3, 3, 2, false, true}};

Convs block_c(int64_t inner) {
  return {{"branch1x1", kBlock, 192, 1, 1, 1, true, true},
          {"branch7x7_1", kBlock, inner},
          {"branch7x7_2", kLast, inner, 1, 7},
          {"branch7x7_3", kLast, 192, 7, 1, 1, true, true},
          {"branch7x7dbl_1", kBlock, inner},
          {"branch7x7dbl_2", kLast, inner, 7, 1},
          {"branch7x7dbl_3", kLast, inner, 1, 7},
          {"branch7x7dbl_4", kLast, inner, 7, 1},
          {"branch7x7dbl_5", kLast, 192, 1, 7, 1, true, true},
          {"branch_pool", kMean, 192, 1, 1, 1, true, true}};
}

const Convs kD = {{"branch3x3_1", kBlock, 192},        {"branch3x3_2", kLast, 320, 3, 3, 2, false, true},
                  {"branch7x7x3_1", kBlock, 192},      {"branch7x7x3_2", kLast, 192, 1, 7},
                  {"branch7x7x3_3", kLast, 192, 7, 1}, {"branch7x7x3_4", kLast, 192, 3, 3, 2, false, true}};

const Convs kE = {{"branch1x1", kBlock, 320, 1, 1, 1, true, true},
                  {"branch3x3_1", kBlock, 384},
                  {"branch3x3_2a", kLast, 384, 1, 3, 1, true, true},
                  {"branch3x3_2b", kBeforeLast, 384, 3, 1, 1, true, true},
                  {"branch3x3dbl_1", kBlock, 448},
                  {"branch3x3dbl_2", kLast, 384, 3, 3},
                  {"branch3x3dbl_3a", kLast, 384, 1, 3, 1, true, true},
                  {"branch3x3dbl_3b", kBeforeLast, 384, 3, 1, 1, true, true},
                  {"branch_pool", kMean, 192, 1, 1, 1, true, true}};

struct Mixed {
  const char* key;
  Convs convs;
  bool max_pool = false;
};

const std::vector<Mixed>& mixed() {
  static const std::vector<Mixed> rows = {
      {"Mixed_5b", block_a(32)},  {"Mixed_5c", block_a(64)},  {"Mixed_5d", block_a(64)},  {"Mixed_6a", kB, true},
      {"Mixed_6b", block_c(128)}, {"Mixed_6c", block_c(160)}, {"Mixed_6d", block_c(160)}, {"Mixed_6e", block_c(192)},
      {"Mixed_7a", kD, true},     {"Mixed_7b", kE},           {"Mixed_7c", kE},
  };
  return rows;
}

std::shared_ptr<ConvNormImpl> make_conv(const InceptionConv& row, int64_t in_channels) {
  return std::make_shared<ConvNormImpl>(ConvStepOptions{.conv = {.in_channels = in_channels,
                                                                 .out_channels = row.channels,
                                                                 .kernel = row.height,
                                                                 .stride = row.stride,
                                                                 .padding = row.padded ? row.height / 2 : 0,
                                                                 .bias = false,
                                                                 .kernel_width = row.width,
                                                                 .padding_width = row.padded ? row.width / 2 : 0},
                                                        .norm = {.eps = kNormEps}});
}

at::Tensor max_pool(const at::Tensor& x) {
  return at::max_pool2d(x, 3, 2);
}

// Pixels of a side behind a layer.
int64_t side_behind(int64_t side, const InceptionConv& row) {
  return (side - (row.padded ? 1 : row.height)) / row.stride + 1;
}
int64_t side_behind_pool(int64_t side) {
  return (side - 3) / 2 + 1;
}

int64_t last_side(int64_t side) {
  for (const InceptionConv& row : kStem) {
    side = side_behind(side, row);
    if (row.output) side = side_behind_pool(side);
  }
  for (const Mixed& block : mixed()) {
    if (block.max_pool) side = side_behind_pool(side);
  }
  return side;
}

constexpr int64_t kLeastSide = 75;

}  // namespace

int64_t InceptionBlockOptions::out_channels() const {
  int64_t channels = max_pool ? in_channels : 0;
  for (const InceptionConv& row : convs) channels += row.output ? row.channels : 0;
  return channels;
}

void InceptionBlockImpl::reset() {
  convs.clear();
  const auto channels_of = [&](size_t back) { return options.convs[convs.size() - back].channels; };
  for (const InceptionConv& row : options.convs) {
    const int64_t in_channels = row.input == kLast         ? channels_of(1)
                                : row.input == kBeforeLast ? channels_of(2)
                                                           : options.in_channels;
    convs.push_back(register_module(row.key, make_conv(row, in_channels)));
  }
  se = nullptr;
  if (options.squeeze_excite) se = register_module("se", SqueezeExcite({.channels = options.out_channels()}));
}

at::Tensor InceptionBlockImpl::forward(const at::Tensor& x) {
  std::vector<at::Tensor> made, outputs;
  for (size_t i = 0; i < convs.size(); ++i) {
    const InceptionConv& row = options.convs[i];
    const at::Tensor input = row.input == kLast         ? made[i - 1]
                             : row.input == kBeforeLast ? made[i - 2]
                             : row.input == kMean       ? at::avg_pool2d(x, 3, 1, 1)
                                                        : x;
    made.push_back(convs[i]->forward(input, Activation::relu));
    if (row.output) outputs.push_back(made.back());
  }
  if (options.max_pool) outputs.push_back(max_pool(x));
  const auto y = at::cat(outputs, 1);
  return se ? se->forward(y) : y;
}

InceptionImpl::InceptionImpl(const InceptionOptions& options) : options(options) {
  require(options.in_channels > 0 && options.num_classes >= 0, ErrorKind::usage,
          "Inception: in_channels {} must be positive, num_classes {} not negative", options.in_channels,
          options.num_classes);
  reset();
}

void InceptionImpl::reset() {
  stem.clear();
  blocks.clear();
  int64_t channels = options.in_channels;
  for (const InceptionConv& row : kStem) {
    stem.push_back(register_module(row.key, make_conv(row, channels)));
    channels = row.channels;
  }
  for (const Mixed& row : mixed()) {
    blocks.push_back(register_module(row.key, std::make_shared<InceptionBlockImpl>(
                                                  InceptionBlockOptions{.in_channels = channels,
                                                                        .convs = row.convs,
                                                                        .max_pool = row.max_pool,
                                                                        .squeeze_excite = options.squeeze_excite})));
    channels = blocks.back()->options.out_channels();
  }
  fc = nullptr;
  if (options.num_classes > 0) {
    fc = register_module("fc", Linear({.in_features = channels, .out_features = options.num_classes}));
  }
}

at::Tensor InceptionImpl::forward_features(const at::Tensor& x) {
  require(x.defined() && x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data,
          "Inception: input must be [B,{},h,w], got {}", options.in_channels, shape_text(x));
  const TokenGridScope scope(grid(x.size(2), x.size(3)));
  auto y = x;
  for (size_t i = 0; i < stem.size(); ++i) {
    y = stem[i]->forward(y, Activation::relu);
    if (kStem[i].output) y = max_pool(y);
  }
  for (const auto& block : blocks) {
    y = block->forward(y);
    recording::output(block.get(), y, /*channel_dim=*/1);
  }
  return y;
}

at::Tensor InceptionImpl::classify(const at::Tensor& pooled) {
  return fc ? fc->forward(pooled) : pooled;
}

TokenGrid InceptionImpl::grid(int64_t height, int64_t width) const {
  require(height >= kLeastSide && width >= kLeastSide, ErrorKind::data,
          "Inception: an image of {}x{} pixels (height x width) is smaller than {}x{}", height, width, kLeastSide,
          kLeastSide);
  return {.height = last_side(height), .width = last_side(width)};
}

}  // namespace fovea
