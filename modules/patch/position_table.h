// Learned position vectors of a patch grid, and the same table for another grid.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

// table [1,prefix+h·w,D] of grid `from` → [1,prefix+h'·w',D] of grid `to`: the grid part is resampled by antialiased
// bicubic interpolation (a = −0.5, half-pixel centres) in float32, the prefix is kept; the table itself when the grids
// are equal. Differentiable. Numbers equal timm's resample_abs_pos_embed.
// Throws Error(data) when the table is not of grid `from` or the prefixes differ.
at::Tensor resample_position_table(const at::Tensor& table, const TokenGrid& from, const TokenGrid& to);

}  // namespace fovea
