// Shapes as error messages show them.
#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <string>

namespace fovea {

// "[2,197,768]", or "undefined".
inline std::string shape_text(const at::Tensor& tensor) {
  return tensor.defined() ? fmt::format("[{}]", fmt::join(tensor.sizes(), ",")) : "undefined";
}

}  // namespace fovea
