// Softmax over the keys that may be attended to.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// scores […,M] → weights of the same shape: softmax over the last dimension where `allowed` (bool that broadcasts to
// it, or undefined: everywhere), 0 elsewhere. A row without any allowed place gives zeros and finite gradients.
at::Tensor masked_softmax(const at::Tensor& scores, const at::Tensor& allowed);

// t […,M,d] with zeros in the rows that `allowed` […,M] forbids, chosen by selection, so that a NaN in them meets
// neither output nor gradient. Undefined: t itself.
at::Tensor hide_rows(const at::Tensor& t, const at::Tensor& allowed);

}  // namespace fovea
