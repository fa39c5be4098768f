#include "fovea/modules/patch/patch_embed.h"

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

PatchEmbedImpl::PatchEmbedImpl(const PatchEmbedOptions& options) : options(options) {
  require(options.in_channels > 0 && options.dim > 0 && options.patch > 0, ErrorKind::usage,
          "PatchEmbed: in_channels {}, dim {} and patch {} must be positive", options.in_channels, options.dim,
          options.patch);
  reset();
}

void PatchEmbedImpl::reset() {
  proj = register_module("proj", Conv2d({.in_channels = options.in_channels,
                                         .out_channels = options.dim,
                                         .kernel = options.patch,
                                         .stride = options.patch,
                                         .bias = options.bias}));
  norm = nullptr;
  if (options.norm) norm = register_module("norm", LayerNorm({.features = options.dim, .eps = options.norm_eps}));
}

int64_t PatchEmbedImpl::patches(int64_t pixels) const {
  const bool whole = pixels % options.patch == 0 || (options.cut && pixels > options.patch);
  require(pixels > 0 && (options.pad || whole), ErrorKind::data,
          "PatchEmbed: image side {} is not a positive multiple of the patch {}", pixels, options.patch);
  return options.cut ? pixels / options.patch : (pixels + options.patch - 1) / options.patch;
}

at::Tensor PatchEmbedImpl::forward(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(1) == options.in_channels, ErrorKind::data, "PatchEmbed: expected [B,{},h,w], got {}",
          options.in_channels, shape_text(x));
  const int64_t missing_rows = patches(x.size(2)) * options.patch - x.size(2);
  const int64_t missing_columns = patches(x.size(3)) * options.patch - x.size(3);
  // The convolution leaves a remainder out by itself.
  const bool pads = missing_rows > 0 || missing_columns > 0;
  const auto padded = pads ? at::constant_pad_nd(x, {0, missing_columns, 0, missing_rows}) : x;
  const auto tokens = proj->forward(padded).permute({0, 2, 3, 1});  // [B,D,h,w] → [B,h,w,D]
  return norm ? norm->forward(tokens) : tokens;
}

}  // namespace fovea
