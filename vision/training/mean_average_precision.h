// How well a classifier of several labels ranks what is there before what is not.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// scores [N,C] of any floating type, larger is likelier; present bool [N,C] → the mean of the classes' average
// precisions, 0 … 1. Of one class: Σ over its examples of the precision among all that score at least as high, divided
// by their number, so that the order of equal scores does not matter. Classes without an example are left out.
// Throws Error(data) for other shapes or types and where no class has an example, Error(numeric) for NaN.
// Everingham et al., The PASCAL Visual Object Classes Challenge, 2010, https://doi.org/10.1007/s11263-009-0275-4,
// without its interpolation
double mean_average_precision(const at::Tensor& scores, const at::Tensor& present);

}  // namespace fovea
