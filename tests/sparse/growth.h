// How the cost of a call grows with the sequence.
#pragma once

#include <gtest/gtest.h>

#include "fovea/tests/support/multiply_adds.h"

namespace fovea::testing {

// Multiply-adds of one call at N and at 4N, until 16,384.
template <typename Call>
void expect_growth(double factor, Call call) {
  std::vector<double> costs;
  for (const int64_t N : {256, 1024, 4096, 16384}) {
    const MultiplyAdds counted;
    call(N);
    costs.push_back(static_cast<double>(counted.count()));
  }
  for (size_t i = 1; i < costs.size(); ++i) EXPECT_NEAR(costs[i] / costs[i - 1], factor, 0.15 * factor) << i;
}

}  // namespace fovea::testing
