// What a CPU kernel needs of its host.
//
// Kernels take raw pointers, strides and one POD of sizes; they know no tensor library.
#pragma once

#include <cstdint>

#include "fovea/modules/kernels/number.h"

namespace fovea::kernels {

struct CpuRuntime {
  // Calls body(context, first, last) for parts of 0…count, at least `grain` long, in several threads, and returns when
  // all are done.
  void (*parallel_for)(int64_t count, int64_t grain, void (*body)(void* context, int64_t first, int64_t last),
                       void* context);
  int threads = 1;  // that parallel_for may use
};

// parallel_for with any callable.
template <typename Body>
void parallel(const CpuRuntime& runtime, int64_t count, Body body) {
  const auto call = [](void* context, int64_t first, int64_t last) { (*static_cast<Body*>(context))(first, last); };
  runtime.parallel_for(count, /*grain=*/1, call, &body);
}

// Empty when this chip has the vector units that the kernels are written for; else what it lacks.
const char* chip_refuses();

}  // namespace fovea::kernels
