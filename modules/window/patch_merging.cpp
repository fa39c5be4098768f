#include "fovea/modules/window/patch_merging.h"

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

PatchMergingImpl::PatchMergingImpl(const PatchMergingOptions& options) : options(options) {
  require(options.dim > 0 && options.out_dim >= 0, ErrorKind::usage,
          "PatchMerging: dim {} and out_dim {} must be positive", options.dim, options.out_dim);
  reset();
}

void PatchMergingImpl::reset() {
  const int64_t in = 4 * options.dim;
  const int64_t out = options.out_dim > 0 ? options.out_dim : 2 * options.dim;
  norm = register_module("norm", LayerNorm({.features = options.post_norm ? out : in, .eps = 1e-5}));
  reduction = register_module("reduction",
                              Linear({.in_features = in, .out_features = out, .bias = false, .initial_std = 0.02}));
}

at::Tensor PatchMergingImpl::forward(const at::Tensor& x) {
  require(x.dim() == 4 && x.size(3) == options.dim, ErrorKind::data, "PatchMerging: expected [B,h,w,{}], got {}",
          options.dim, shape_text(x));
  const int64_t odd_row = x.size(1) % 2;
  const int64_t odd_column = x.size(2) % 2;
  const auto even = odd_row + odd_column > 0 ? at::constant_pad_nd(x, {0, 0, 0, odd_column, 0, odd_row}) : x;
  const int64_t rows = even.size(1) / 2;
  const int64_t columns = even.size(2) / 2;
  const auto quads = even.reshape({x.size(0), rows, 2, columns, 2, options.dim})
                         .permute({0, 1, 3, 4, 2, 5})  // the column of the four runs slower than the row
                         .reshape({x.size(0), rows, columns, 4 * options.dim});
  return options.post_norm ? norm->forward(reduction->forward(quads)) : reduction->forward(norm->forward(quads));
}

}  // namespace fovea
