// Products of bfloat16 in pairs, summed in float32 (vdpbf16ps).
#pragma once

#include <cstdint>

#include "fovea/modules/kernels/number.h"

namespace fovea::kernels {

// A pair: two neighbours along the depth in 32 bits, the first one below. A's rows are read as they lie, B has one row
// for each pair, in panels (ldb = 0) or with a stride, as Product's (product-inl.h).
struct PairProduct {
  int64_t rows;
  int64_t vectors;  // of 16 columns
  int64_t depth;    // in pairs
  const uint32_t* a;
  int64_t lda;
  const uint32_t* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool add;  // to what C holds
};

// Whether this chip has the instruction.
bool has_pairs();

// Whether it does twice the work of float32 there: AMD's from Zen 4 on. Intel's takes two cycles where float32 takes
// one.
bool pairs_are_fast();

void multiply_pairs(const PairProduct& product);

// What becomes of q·kᵀ while its sums are in registers: sums·scale, −∞ from `columns` on, and the largest of each lane
// of a row in `tops` [rows,16].
struct PairScores {
  float scale;
  int64_t columns;
  float* tops;
};

void multiply_pairs(const PairProduct& product, const PairScores& scores);

// Rows 2i and 2i + 1 of `width` values from `column` on become row i of `to`: pairs, `ld` apart, zeros after the width
// and for a row after the last; ld is a multiple of 16.
void pack_pairs(const BFloat16* const* rows, int64_t count, int64_t width, uint32_t* to, int64_t ld,
                int64_t column = 0);

// For each row of A (`c` of the product unused) and the one row of B, what 16 lanes of their products add up to, in
// lanes [rows,16]; the depth is a multiple of 16.
void dots_of_pairs(const PairProduct& product, float* lanes);

// `count` values in float32, a multiple of 16, become bfloat16 in the first half of their place.
void narrow(float* values, int64_t count);

}  // namespace fovea::kernels
