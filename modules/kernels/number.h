// The numbers that pointers of kernels may lead to.
#pragma once

#include <cstdint>

namespace fovea::kernels {

struct BFloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

enum class Number { float32, bfloat16, float64, float16 };

}  // namespace fovea::kernels
