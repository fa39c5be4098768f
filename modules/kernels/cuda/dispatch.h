// What the files that start kernels share.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>

#include "fovea/modules/kernels/cuda/status.h"
#include "fovea/modules/kernels/number.h"

namespace fovea::kernels::cuda {

// f(S()) with the type that a number names.
template <typename F>
Status with_type(Number type, F f) {
  switch (type) {
    case Number::float32:
      return f(float());
    case Number::bfloat16:
      return f(BFloat16());
    case Number::float16:
      return f(Float16());
    case Number::float64:
      break;
  }
  return "the CUDA kernels take float32, bfloat16 and float16";
}

// Starts one after another until one fails.
inline Status first_failure(std::initializer_list<std::function<Status()>> starts) {
  for (const auto& start : starts) {
    if (const Status status = start(); status != nullptr) return status;
  }
  return nullptr;
}

inline int64_t divide_up(int64_t count, int64_t by) {
  return (count + by - 1) / by;
}

}  // namespace fovea::kernels::cuda
