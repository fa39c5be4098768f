// Shapes as error messages show them.
#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

namespace fovea {

// Becomes text where a message is written, and costs nothing in a check that holds. The tensor must outlive it.
struct ShapeText {
  const at::Tensor& tensor;
};

// "[2,197,768]", or "undefined".
inline ShapeText shape_text(const at::Tensor& tensor) {
  return {tensor};
}

}  // namespace fovea

template <>
struct fmt::formatter<fovea::ShapeText> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }

  template <typename Context>
  auto format(const fovea::ShapeText& shape, Context& context) const {
    if (!shape.tensor.defined()) return fmt::format_to(context.out(), "undefined");
    return fmt::format_to(context.out(), "[{}]", fmt::join(shape.tensor.sizes(), ","));
  }
};
