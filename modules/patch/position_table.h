// Learned position vectors of a patch grid, and the same table for another grid.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

// How the authors of a network resample its position table, all bicubic, in float32.
enum class TableResampling {
  antialiased,  // timm: a = −0.5, half-pixel centres, wider when it shrinks
  plain,        // transformers: a = −0.75, half-pixel centres
  corners,      // torchvision: a = −0.75, corners on corners
};

// grid [1,D,h,w] → [1,D,height,width], of its type.
at::Tensor resample_grid(const at::Tensor& grid, int64_t height, int64_t width, TableResampling resampling);

// table [1,prefix+h·w,D] of grid `from` → [1,prefix+h'·w',D] of grid `to`: the grid part is resampled, the prefix is
// kept; the table itself when the grids are equal. Differentiable. `antialiased` equals timm's resample_abs_pos_embed.
// Throws Error(data) when the table is not of grid `from` or the prefixes differ.
at::Tensor resample_position_table(const at::Tensor& table, const TokenGrid& from, const TokenGrid& to,
                                   TableResampling resampling = TableResampling::antialiased);

}  // namespace fovea
