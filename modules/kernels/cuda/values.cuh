// Adjacent numbers of any type as float32, one or four at once.
#pragma once

#include "fovea/modules/kernels/cuda/ptx.h"

namespace fovea::kernels::cuda {

template <int V, typename S, int N>
__device__ inline void load_values(const S* from, float (&to)[N]) {
  static_assert((V == 1 || V == 4) && N >= V);
  if constexpr (V == 1) {
    to[0] = widen(*from);
  } else if constexpr (sizeof(S) == 4) {
    const auto all = load_vector<float4>(from);
    to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
  } else {
    const auto all = load_vector<uint2>(from);
    const float2 first = unpack<S>(all.x), second = unpack<S>(all.y);
    to[0] = first.x, to[1] = first.y, to[2] = second.x, to[3] = second.y;
  }
}

template <int V, typename S>
__device__ inline void store_values(const float (&from)[V], S* to) {
  static_assert(V == 1 || V == 4);
  if constexpr (V == 1) {
    narrow(from[0], *to);
  } else if constexpr (sizeof(S) == 4) {
    store_vector(to, make_float4(from[0], from[1], from[2], from[3]));
  } else {
    store_vector(to, make_uint2(pack<S>(from[0], from[1]), pack<S>(from[2], from[3])));
  }
}

// True when rows of `width` values may be read four at once from each of these.
template <typename S, typename... Pointers>
bool reads_four(int64_t width, Pointers... pointers) {
  return width % 4 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % (4 * sizeof(S)) == 0) && ...);
}

}  // namespace fovea::kernels::cuda
