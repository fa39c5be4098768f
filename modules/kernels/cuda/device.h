// What the bodies of kernels are written in: CUDA C++ where nvcc compiles them, and on the host the twins of an
// emulator that runs the same source (tests/simt, the only place with simt/ on its include path).
//
// Rules that both sides share:
// - a block has a multiple of 32 threads, in x; every lane of a warp takes part in every warp operation, every thread
// of
//   the block in every barrier;
// - shared memory is dynamic and reached through Shared<T>, so that the emulator sees who reads and writes what.
// Between
//   two barriers (or two __syncwarp, within a warp) no thread touches what another one writes; shuffles order nothing;
// - kernels start by launch() alone, and PTX stands in ptx.h alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fovea/modules/kernels/cuda/status.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include <simt/emulator.h>
#endif

namespace fovea::kernels::cuda {

constexpr int kWarp = 32;                    // threads
constexpr unsigned kAllLanes = ~0u;          // the mask of every warp operation
constexpr int64_t kMostBlocks = 0x7fffffff;  // along x; y and z take 65,535

// Blocks: so many along x, or as a dim3 says.
struct Grid {
  Grid(int64_t blocks) : size(static_cast<unsigned>(blocks)), fits(blocks <= kMostBlocks) {}
  Grid(dim3 blocks) : size(blocks) {}

  dim3 size;
  bool fits = true;
};

constexpr Status kTooManyBlocks = "more blocks than a grid takes";

#ifdef __CUDACC__

// Values of T, beginning at a byte of the block's shared memory.
template <typename T>
class Shared {
 public:
  __device__ explicit Shared(size_t first_byte) : data_(reinterpret_cast<T*>(bytes() + first_byte)) {}

  template <typename I>
  __device__ T& operator[](I i) const {
    return data_[i];
  }
  __device__ Shared operator+(ptrdiff_t n) const { return at(data_ + n); }

  // The same bytes as another type; their alignment is the caller's.
  template <typename U>
  __device__ Shared<U> as() const {
    return Shared<U>::at(reinterpret_cast<U*>(data_));
  }

  // In the window of shared memory, what PTX takes.
  __device__ unsigned address() const { return static_cast<unsigned>(__cvta_generic_to_shared(data_)); }

 private:
  template <typename U>
  friend class Shared;

  Shared() = default;

  __device__ static Shared at(T* data) {
    Shared shared;
    shared.data_ = data;
    return shared;
  }

  __device__ static unsigned char* bytes() {
    extern __shared__ __align__(128) unsigned char fovea_shared_bytes[];
    return fovea_shared_bytes;
  }

  T* data_;
};

template <typename... Parameters, typename... Arguments>
Status launch(void (*kernel)(Parameters...), Grid grid, int threads, size_t shared_bytes, Stream stream,
              Arguments... arguments) {
  if (!grid.fits) return kTooManyBlocks;
  if (shared_bytes > 48 * 1024) {  // more has to be asked for
    const auto error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return cudaGetErrorString(error);
  }
  kernel<<<grid.size, threads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      static_cast<Parameters>(arguments)...);
  const auto error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

#else

using simt::Shared;

// Runs every block to its end; throws simt::Fault at what hardware would not forgive.
template <typename... Parameters, typename... Arguments>
Status launch(void (*kernel)(Parameters...), Grid grid, int threads, size_t shared_bytes, Stream,
              Arguments... arguments) {
  if (!grid.fits) return kTooManyBlocks;
  simt::run(grid.size, threads, shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
  return nullptr;
}

#endif

// 8 or 16 aligned bytes at once, as V (uint2, uint4, float4, …).
template <typename V, typename T>
__device__ inline V load_vector(const T* from) {
#ifndef __CUDACC__
  simt::check_alignment(from, sizeof(V));
#endif
  return *reinterpret_cast<const V*>(from);
}

template <typename V, typename T>
__device__ inline void store_vector(T* to, const V& value) {
#ifndef __CUDACC__
  simt::check_alignment(to, sizeof(V));
#endif
  *reinterpret_cast<V*>(to) = value;
}

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

// The same in every lane.
template <typename T>
__device__ inline T warp_sum(T value) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) value += __shfl_xor_sync(kAllLanes, value, apart);
  return value;
}

}  // namespace fovea::kernels::cuda
