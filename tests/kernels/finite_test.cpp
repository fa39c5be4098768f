#include "fovea/modules/kernels/cpu/finite.h"

#include <gtest/gtest.h>

#include <vector>

namespace fovea::kernels {
namespace {

// Every place of every length, so that no vector, line or tail is left out; largest finite numbers beside.
template <typename Bits>
void check(Bits exponent, Bits infinite, Bits not_a_number, Bits largest) {
  for (size_t count = 0; count < 150; ++count) {
    std::vector<Bits> numbers(count, largest);
    EXPECT_TRUE(all_finite(numbers.data(), count, exponent)) << count;
    for (size_t place = 0; place < count; ++place) {
      for (const Bits wrong : {infinite, not_a_number}) {
        numbers[place] = wrong;
        EXPECT_FALSE(all_finite(numbers.data(), count, exponent)) << place << " of " << count;
      }
      numbers[place] = largest;
    }
  }
}

TEST(Finite, FindsOneWrongNumberAnywhere) {
  check<uint16_t>(0x7f80, 0xff80, 0x7fc0, 0xff7f);  // bfloat16
  check<uint16_t>(0x7c00, 0x7c00, 0xfe00, 0x7bff);  // float16
  check<uint32_t>(0x7f800000, 0x7f800000, 0x7f800001, 0xff7fffff);
  check<uint64_t>(0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7fefffffffffffff);
}

}  // namespace
}  // namespace fovea::kernels
