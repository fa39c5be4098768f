#include "fovea/vision/models/conv_stem.h"

#include <bit>

#include "fovea/modules/error.h"

namespace fovea {

ConvStemImpl::ConvStemImpl(const ConvStemOptions& options) : options(options) {
  require(options.patch >= 2 && std::has_single_bit(static_cast<uint64_t>(options.patch)), ErrorKind::usage,
          "ConvStem: patch {} is no power of two", options.patch);
  require(options.dim > 0 && options.dim % (options.patch / 2) == 0, ErrorKind::usage,
          "ConvStem: dim {} is no multiple of {}", options.dim, options.patch / 2);
  reset();
}

void ConvStemImpl::reset() {
  steps.clear();
  int64_t channels = options.in_channels;
  for (int64_t shrunk = options.patch / 2; shrunk >= 1; shrunk /= 2) {
    const int64_t wider = options.dim / shrunk;
    steps.push_back(register_module(std::to_string(steps.size()),
                                    std::make_shared<ConvNormImpl>(ConvStepOptions{
                                        .conv = square_conv(channels, wider, /*kernel=*/3, /*stride=*/2)})));
    channels = wider;
  }
  proj = register_module("proj", Conv2d({.in_channels = channels, .out_channels = options.dim}));
}

at::Tensor ConvStemImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (const auto& step : steps) y = step->forward(y, Activation::relu);
  return proj->forward(y).permute({0, 2, 3, 1});
}

}  // namespace fovea
