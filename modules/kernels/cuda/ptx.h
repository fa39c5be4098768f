// Numbers of 16 bits, and every instruction that CUDA C++ has no word for, each with its twin on the host
// (simt/instructions.h).
//
// Fragments are those of the PTX manual, "Matrix Fragments for mma.m16n8k16" (group = lane/4, place = lane%4):
//   a[0] row group, columns 2·place + {0,1}       a[2] the same row, columns 8 further
//   a[1] row group + 8, the same columns          a[3] row group + 8, columns 8 further
//   b[0] rows 2·place + {0,1}, column group       b[1] rows 8 further
//   c[0], c[1] row group, columns 2·place + {0,1}   c[2], c[3] row group + 8
// Two numbers of 16 bits share a register, the first in the low half.
#pragma once

#include "fovea/modules/kernels/cuda/device.h"
#include "fovea/modules/kernels/number.h"

#ifndef __CUDACC__
#include <simt/instructions.h>
#endif

namespace fovea::kernels::cuda {

__device__ inline float widen(float x) {
  return x;
}

__device__ inline float widen(BFloat16 x) {
#ifdef __CUDACC__
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
#else
  return simt::from_bfloat16(x.bits);
#endif
}

__device__ inline float widen(Float16 x) {
#ifdef __CUDACC__
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
#else
  return simt::from_float16(x.bits);
#endif
}

// Rounded to nearest, ties to even.
__device__ inline void narrow(float x, float& to) {
  to = x;
}

__device__ inline void narrow(float x, BFloat16& to) {
#ifdef __CUDACC__
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
#else
  to.bits = simt::to_bfloat16(x);
#endif
}

__device__ inline void narrow(float x, Float16& to) {
#ifdef __CUDACC__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
#else
  to.bits = simt::to_float16(x);
#endif
}

template <typename S>
__device__ inline S narrowed(float x) {
  S small;
  narrow(x, small);
  return small;
}

// Two numbers of type S in a register.
template <typename S>
__device__ inline uint32_t pack(float low, float high);

template <>
__device__ inline uint32_t pack<BFloat16>(float low, float high) {
#ifdef __CUDACC__
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return simt::to_bfloat16(low) | static_cast<uint32_t>(simt::to_bfloat16(high)) << 16;
#endif
}

template <>
__device__ inline uint32_t pack<Float16>(float low, float high) {
#ifdef __CUDACC__
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return simt::to_float16(low) | static_cast<uint32_t>(simt::to_float16(high)) << 16;
#endif
}

template <typename S>
__device__ inline float2 unpack(uint32_t both) {
  S low, high;
  low.bits = static_cast<uint16_t>(both);
  high.bits = static_cast<uint16_t>(both >> 16);
  return make_float2(widen(low), widen(high));
}

// 2^x to 2⁻²² relative; 0 for −∞.
__device__ inline float exp2_fast(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return simt::exp2(x);
#endif
}

// The larger of two; NaN wins.
__device__ inline float maximum(float a, float b) {
#ifdef __CUDACC__
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
#else
  return a > b || a != a ? a : b;
#endif
}

// float32 rounded to the 10 fraction bits that a tf32 product reads.
__device__ inline uint32_t to_tf32(float x) {
#ifdef __CUDACC__
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
#else
  return simt::to_tf32(x);
#endif
}

// c += a·b, 16×16 by 16×8, sums in float32. S: BFloat16 or Float16.
template <typename S>
__device__ inline void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <>
__device__ inline void mma_16x8x16<BFloat16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma_16x8x16(c, a, b, simt::from_bfloat16);
#endif
}

template <>
__device__ inline void mma_16x8x16<Float16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma_16x8x16(c, a, b, simt::from_float16);
#endif
}

// c += a·b, 16×8 by 8×8, of float32 rounded by to_tf32. a[0] (group, place), a[1] (group + 8, place), a[2] and a[3] the
// same with columns 4 further; b[0] (place, group), b[1] (place + 4, group).
__device__ inline void mma_16x8x8(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma_16x8x8(c, a, b);
#endif
}

// Four 8×8 matrices of 16-bit numbers. Lane 8i + r names row r of matrix i (16 aligned bytes); `to[i]` is row lane/4,
// columns 2·(lane%4) + {0,1} of matrix i, or, transposed, rows 2·(lane%4) + {0,1} of column lane/4.
template <bool Transposed, typename T>
__device__ inline void load_matrices(uint32_t (&to)[4], Shared<T> row) {
  static_assert(sizeof(T) == 2);
#ifdef __CUDACC__
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row.address())
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row.address())
                 : "memory");
  }
#else
  simt::load_matrices(to, row.address(), 4, Transposed);
#endif
}

// Two matrices, named by lanes 0…15; the other lanes' rows are not read but must lie in shared memory.
template <bool Transposed, typename T>
__device__ inline void load_matrices(uint32_t (&to)[2], Shared<T> row) {
  static_assert(sizeof(T) == 2);
#ifdef __CUDACC__
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(row.address())
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(row.address())
                 : "memory");
  }
#else
  simt::load_matrices(to, row.address(), 2, Transposed);
#endif
}

// Bytes (4, 8 or 16, both sides aligned) from global to shared memory while the thread goes on; the first `valid` are
// read, the rest become zeros. They are there for this thread after wait_for_copies, for the others after a barrier
// too.
template <int Bytes, typename T>
__device__ inline void copy_async(Shared<T> to, const void* from, int valid = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#ifdef __CUDACC__
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to.address()), "l"(from), "r"(valid) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to.address()), "l"(from), "n"(Bytes), "r"(valid)
                 : "memory");
  }
#else
  simt::copy_async(to.address(), from, Bytes, valid);
#endif
}

// Closes the group of copies that began since the last one.
__device__ inline void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::commit_copies();
#endif
}

// Waits until at most the last `Pending` groups are still under way.
template <int Pending>
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  simt::wait_for_copies(Pending);
#endif
}

}  // namespace fovea::kernels::cuda
