// Whether all numbers are finite, at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::kernels {

// Whether none of `count` numbers has all bits of `exponent` set, as NaN and infinity have: of uint16_t (half types),
// uint32_t (float) or uint64_t (double) patterns.
bool all_finite(const uint16_t* bits, size_t count, uint16_t exponent);
bool all_finite(const uint32_t* bits, size_t count, uint32_t exponent);
bool all_finite(const uint64_t* bits, size_t count, uint64_t exponent);

}  // namespace fovea::kernels
