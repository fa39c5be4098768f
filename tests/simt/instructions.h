// Twins of modules/kernels/cuda/ptx.h: conversions, products of matrix fragments, copies that finish late.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

float from_bfloat16(uint16_t bits);
uint16_t to_bfloat16(float x);
float from_float16(uint16_t bits);
uint16_t to_float16(float x);
uint32_t to_tf32(float x);
float exp2(float x);

void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], float (*widen)(uint16_t));
void mma_16x8x8(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// `row` is the byte in shared memory where the lane's row begins; `count` is 2 or 4 matrices.
void load_matrices(uint32_t* to, size_t row, int count, bool transposed);

// Until it is waited for, the destination holds NaN.
void copy_async(size_t to, const void* from, int bytes, int valid);
void commit_copies();
void wait_for_copies(int pending);

}  // namespace simt
