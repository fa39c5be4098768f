// Which weights of a call are left out.
#pragma once

#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

struct DropoutCall {
  double dropout = 0;  // as the calls of attention and windows name these three
  uint64_t seed = 0;
  uint64_t offset = 0;
  int64_t heads = 0;  // of all images
  int64_t rows = 0;
  int64_t columns = 0;
};

// factors [heads,rows,columns]: what a call's weights are multiplied with, 0 or 1/(1 − dropout).
void dropout_factors(const DropoutCall& call, double* factors, const CpuRuntime& runtime);

}  // namespace fovea::kernels
