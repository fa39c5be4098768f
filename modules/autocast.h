// Automatic mixed precision (at::autocast) at the doors of the core functions, whatever backend runs behind them.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// t in the lower type that autocast asks for on its device, as a matrix product of LibTorch would take it; t itself
// where autocast is off, and where t is undefined, float64 or no floating tensor.
at::Tensor autocast(const at::Tensor& t);

// The same for a parameter that meets x: in x's type where autocast is on.
at::Tensor autocast_like(const at::Tensor& parameter, const at::Tensor& x);

}  // namespace fovea
