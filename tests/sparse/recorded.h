// The gradient of recorded weights.
#pragma once

#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/tests/attention/vectors.h"

namespace fovea::testing {

// d(loss)/d(weight of a pair) = grad_i·v_j, for grad [B,H,N,e] of the output and values v [B,H,M,e].
inline void expect_gradient_of_weights(const AttentionMap& map, const at::Tensor& grad, const at::Tensor& v) {
  ASSERT_EQ(map.gradient.sizes(), map.weights.sizes());
  for (int64_t b = 0; b < v.size(0); ++b) {
    for (int64_t h = 0; h < v.size(1); ++h) {
      for (int64_t n = 0; n < std::ssize(map.queries); ++n) {
        for (int64_t j = 0; j < v.size(2); ++j) {
          const double expected = dot(row(grad[b][h][map.queries[n]]), row(v[b][h][j]));
          EXPECT_NEAR(map.gradient[b][h][n][j].item<double>(), expected, 1e-5) << b << " " << h << " " << n << " " << j;
        }
      }
    }
  }
}

}  // namespace fovea::testing
