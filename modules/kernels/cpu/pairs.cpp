// The tiles are those of product-inl.h with another instruction, which Highway 1.0 does not have.
#include "fovea/modules/kernels/cpu/pairs.h"

#include <hwy/base.h>

#include <algorithm>
#include <limits>

#if HWY_ARCH_X86_64
#include <immintrin.h>
#endif

namespace fovea::kernels {

#if HWY_ARCH_X86_64

bool has_pairs() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                          __builtin_cpu_supports("avx512vl") != 0;
  return has;
}

bool pairs_are_fast() {
  static const bool fast = has_pairs() && __builtin_cpu_is("amd") != 0;
  return fast;
}

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512bf16")
namespace {

constexpr int64_t kWords = 16;  // of a vector
constexpr __mmask16 kAll = 0xffff;
constexpr int kMostVectors = 4;
constexpr int kMostRows[] = {0, 12, 12, 8, 6};

struct Store {
  float* c;
  int64_t ldc;
  bool add;

  template <int R, int C>
  HWY_INLINE void operator()(int64_t row, int64_t column, const __m512 (&sums)[R][C]) const {
    float* to = c + row * ldc + column;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r, to += ldc) {
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) {
        float* place = to + v * kWords;
        _mm512_storeu_ps(place, add ? _mm512_add_ps(sums[r][v], _mm512_loadu_ps(place)) : sums[r][v]);
      }
    }
  }
};

struct StoreScores {
  float* c;
  int64_t ldc;
  const PairScores& scores;

  template <int R, int C>
  HWY_INLINE void operator()(int64_t row, int64_t column, const __m512 (&sums)[R][C]) const {
    const auto scale = _mm512_set1_ps(scores.scale), masked = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    float* to = c + row * ldc + column;
    float* largest = scores.tops + row * kWords;
    const auto last =
        static_cast<__mmask16>((1U << std::clamp<int64_t>(scores.columns - column - (C - 1) * kWords, 0, kWords)) - 1);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r, to += ldc, largest += kWords) {
      auto top = column == 0 ? masked : _mm512_loadu_ps(largest);
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) {
        auto x = _mm512_mul_ps(sums[r][v], scale);
        if (v == C - 1) x = _mm512_mask_mov_ps(masked, last, x);
        _mm512_storeu_ps(to + v * kWords, x);
        top = _mm512_maskz_max_ps(kAll, top, x);  // the plain one warns in GCC 12
      }
      _mm512_storeu_ps(largest, top);
    }
  }
};

template <int R, int C, typename Finish>
HWY_INLINE void tile(const PairProduct& p, int64_t row, const uint32_t* HWY_RESTRICT b, int64_t ldb, int64_t column,
                     const Finish& finish) {
  const uint32_t* HWY_RESTRICT a = p.a + row * p.lda;
  __m512 sums[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < C; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < p.depth; ++k) {
    __m512i words[C];
#pragma GCC unroll 4
    for (int v = 0; v < C; ++v) words[v] = _mm512_loadu_si512(b + k * ldb + v * kWords);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const auto factor = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[r * p.lda + k]));
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], factor, (__m512bh)words[v]);
    }
  }
  finish(row, column, sums);
}

// Columns of B from `column` on, C vectors of them.
struct Panel {
  const uint32_t* b;
  int64_t ldb;
  int64_t column;
};

template <int R, int C, typename Finish>
void tile_of_rows(int64_t rows, const PairProduct& p, int64_t row, const Panel& panel, const Finish& finish) {
  if constexpr (R > 0) {
    if (rows == R) {
      tile<R, C>(p, row, panel.b, panel.ldb, panel.column, finish);
    } else {
      tile_of_rows<R - 1, C>(rows, p, row, panel, finish);
    }
  }
}

template <int C, typename Finish>
HWY_NOINLINE void all_rows(const PairProduct& p, const Panel& panel, const Finish& finish) {
  const int64_t tiles = (p.rows + kMostRows[C] - 1) / kMostRows[C];
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t row = i * p.rows / tiles;
    tile_of_rows<kMostRows[C], C>((i + 1) * p.rows / tiles - row, p, row, panel, finish);
  }
}

template <int C, typename Finish>
void panel_of_vectors(int64_t vectors, const PairProduct& p, const Panel& panel, const Finish& finish) {
  if constexpr (C > 0) {
    if (vectors == C) {
      all_rows<C>(p, {panel.b, p.ldb == 0 ? C * kWords : p.ldb, panel.column}, finish);
    } else {
      panel_of_vectors<C - 1>(vectors, p, panel, finish);
    }
  }
}

template <typename Finish>
void multiply_and(const PairProduct& p, const Finish& finish) {
  const int64_t panels = (p.vectors + kMostVectors - 1) / kMostVectors;
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t first = i * p.vectors / panels, vectors = (i + 1) * p.vectors / panels - first;
    const int64_t column = first * kWords;
    const Panel panel{p.b + (p.ldb == 0 ? column * p.depth : column), p.ldb, column};
    panel_of_vectors<kMostVectors>(vectors, p, panel, finish);
  }
}

HWY_INLINE __m512i widened(const BFloat16* from, __mmask16 lanes) {
  return _mm512_maskz_cvtepu16_epi32(lanes, _mm256_maskz_loadu_epi16(lanes, from));
}

}  // namespace

void multiply_pairs(const PairProduct& p) {
  multiply_and(p, Store{p.c, p.ldc, p.add});
}

void multiply_pairs(const PairProduct& p, const PairScores& scores) {
  multiply_and(p, StoreScores{p.c, p.ldc, scores});
}

void pack_pairs(const BFloat16* const* rows, int64_t count, int64_t width, uint32_t* to, int64_t ld, int64_t column) {
  for (int64_t i = 0; i < count; i += 2, to += ld) {
    const bool alone = i + 1 == count;
    for (int64_t k = 0; k < ld; k += kWords) {
      const auto here = static_cast<__mmask16>((1U << std::clamp<int64_t>(width - k, 0, kWords)) - 1);
      const auto low = widened(rows[i] + column + k, here);
      const auto high = alone ? _mm512_setzero_si512() : widened(rows[i + 1] + column + k, here);
      _mm512_storeu_si512(to + k, _mm512_or_si512(low, _mm512_maskz_slli_epi32(here, high, 16)));
    }
  }
}

void dots_of_pairs(const PairProduct& p, float* lanes) {
  for (int64_t i = 0; i < p.rows; ++i) {
    auto sum = _mm512_setzero_ps();
    for (int64_t k = 0; k < p.depth; k += kWords) {
      sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(p.a + i * p.lda + k),
                             (__m512bh)_mm512_loadu_si512(p.b + k));
    }
    _mm512_storeu_ps(lanes + i * kWords, sum);
  }
}

void narrow(float* values, int64_t count) {
  for (int64_t j = 0; j < count; j += kWords) {
    const auto bits = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(values + j));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<BFloat16*>(values) + j), bits);
  }
}

HWY_POP_ATTRIBUTES

#else  // nobody calls the others

bool has_pairs() {
  return false;
}
bool pairs_are_fast() {
  return false;
}
void multiply_pairs(const PairProduct& /*product*/) {}
void multiply_pairs(const PairProduct& /*product*/, const PairScores& /*scores*/) {}
void pack_pairs(const BFloat16* const* /*rows*/, int64_t /*count*/, int64_t /*width*/, uint32_t* /*to*/, int64_t /*ld*/,
                int64_t /*column*/) {}
void dots_of_pairs(const PairProduct& /*product*/, float* /*lanes*/) {}
void narrow(float* /*values*/, int64_t /*count*/) {}

#endif

}  // namespace fovea::kernels
