// Products of blocks that lie in the caches: C (+)= A·B with B's columns in vectors, C's tile in registers.
//
// Versions (one thread of an Emerald Rapids, float32, 49×64×32 and 197×208×64): see docs/kernels.md.
#if defined(FOVEA_KERNELS_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_PRODUCT_INL_H_
#undef FOVEA_KERNELS_PRODUCT_INL_H_
#else
#define FOVEA_KERNELS_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// A tile is R rows × C vectors: R·C sums, C vectors of B and one value of A fill the registers.
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
constexpr int kTileVectors = 1;
constexpr int kTileRows[] = {0, 1};
#elif HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kTileVectors = 4;  // 32 registers
constexpr int kTileRows[] = {0, 12, 12, 8, 6};
#else
constexpr int kTileVectors = 2;  // 16 registers
constexpr int kTileRows[] = {0, 8, 6};
#endif

// `count` cut into the fewest parts of at most `most`, all of nearly one size: part i begins at begin(i).
struct Parts {
  Parts(int64_t count, int64_t most) : count(count), parts((count + most - 1) / most) {}
  int64_t begin(int64_t i) const { return i * count / parts; }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t count;
  int64_t parts;
};

// B in panels (ldb = 0): of each part of its vectors, row after row; otherwise rows with a stride of ldb. It may be
// narrower than the sums, whole vectors long.
template <typename T, typename B = T>
struct Product {
  int64_t rows;     // of A and C
  int64_t vectors;  // of a row of B and C
  int64_t depth;    // columns of A, rows of B
  const T* a;
  int64_t lda;
  const B* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
  bool add;  // to what C holds
};

// What becomes of a tile: stored, or added to what is there. Others take part in what follows a product, while the sums
// are in registers: finish(row, column, sums) is called once for every tile of C.
template <typename T>
struct StoreSums {
  T* c;
  int64_t ldc;
  bool add;

  template <int R, int C>
  HWY_INLINE void operator()(int64_t row, int64_t column, const Vector<T> (&sums)[R][C]) const {
    T* to = c + row * ldc + column;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r, to += ldc) {
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) {
        T* place = to + v * kLanes<T>;
        store(add ? hn::Add(sums[r][v], load(place)) : sums[r][v], place);
      }
    }
  }
};

// Where a tile stands in C, and how far apart the rows of B are.
struct TilePlace {
  int64_t row;
  int64_t column;
  int64_t ldb;
};

// A is read at a[row·lda + k], or where it is transposed at a[k·lda + row].
template <int R, int C, bool Transposed, typename T, typename B, typename Finish>
HWY_INLINE void tile(const T* HWY_RESTRICT a, const Product<T, B>& p, const B* HWY_RESTRICT b, const TilePlace& place,
                     const Finish& finish) {
  const int64_t lda = p.lda, depth = p.depth, ldb = place.ldb;
  Vector<T> sums[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < C; ++v) sums[r][v] = hn::Zero(Tag<T>());
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector<T> row[C];
#pragma GCC unroll 4
    for (int v = 0; v < C; ++v) row[v] = load(b + k * ldb + v * kLanes<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const auto factor = hn::Set(Tag<T>(), Transposed ? a[k * lda + r] : a[r * lda + k]);
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) sums[r][v] = hn::MulAdd(factor, row[v], sums[r][v]);
    }
  }
  finish(place.row, place.column, sums);
}

template <int R, int C, bool Transposed, typename T, typename B, typename Finish>
void tile_of_rows(int64_t rows, const T* a, const Product<T, B>& p, const B* b, const TilePlace& place,
                  const Finish& finish) {
  if constexpr (R > 0) {
    if (rows == R) {
      tile<R, C, Transposed>(a, p, b, place, finish);
    } else {
      tile_of_rows<R - 1, C, Transposed>(rows, a, p, b, place, finish);
    }
  }
}

template <int C, bool Transposed, typename T, typename B, typename Finish>
HWY_NOINLINE void panel(const Product<T, B>& p, const B* b, int64_t ldb, int64_t column, const Finish& finish) {
  const Parts tiles(p.rows, kTileRows[C]);
  for (int64_t i = 0; i < tiles.parts; ++i) {
    const int64_t row = tiles.begin(i);
    tile_of_rows<kTileRows[C], C, Transposed>(tiles.size(i), p.a + (Transposed ? row : row * p.lda), p, b,
                                              TilePlace{row, column, ldb}, finish);
  }
}

template <int C, bool Transposed, typename T, typename B, typename Finish>
HWY_INLINE void panel_of_vectors(int64_t vectors, const Product<T, B>& p, const B* b, int64_t column,
                                 const Finish& finish) {
  if constexpr (C > 0) {
    if (vectors == C) {
      panel<C, Transposed>(p, b, p.ldb == 0 ? C * kLanes<T> : p.ldb, column, finish);
    } else {
      panel_of_vectors<C - 1, Transposed>(vectors, p, b, column, finish);
    }
  }
}

// With `finish`, c of the product is of no use.
template <bool Transposed = false, typename T, typename B, typename Finish>
void multiply(const Product<T, B>& p, const Finish& finish) {
  const Parts panels(p.vectors, kTileVectors);
  for (int64_t i = 0; i < panels.parts; ++i) {
    const int64_t first = panels.begin(i) * kLanes<T>;
    const B* b = p.b + (p.ldb == 0 ? first * p.depth : first);
    panel_of_vectors<kTileVectors, Transposed>(panels.size(i), p, b, first, finish);
  }
}

template <bool Transposed = false, typename T>
void multiply(const Product<T>& p) {
  multiply<Transposed>(p, StoreSums<T>{p.c, p.ldc, p.add});
}

// Copies `count` rows of `width` values from `column` on, converted, into rows of `ld`, zeros after the width.
template <typename T, typename S>
HWY_INLINE void pack_rows(const S* const* rows, int64_t count, int64_t width, T* to, int64_t ld, int64_t column = 0) {
  for (int64_t i = 0; i < count; ++i) {
    const S* from = rows[i] + column;
    T* row = to + i * ld;
    int64_t k = 0;
    for (; k + kLanes<T> <= width; k += kLanes<T>) store(load(from + k), row + k);
    if (k < ld) {
      store(load_first(from + k, width - k), row + k);
      for (k += kLanes<T>; k < ld; k += kLanes<T>) store(hn::Zero(Tag<T>()), row + k);
    }
  }
}

// Lane j of `to` + k·ld is rows[j][k]: as many rows as a vector has lanes.
template <typename T>
HWY_INLINE void transpose_rows(const T* const* rows, int64_t width, T* to, int64_t ld) {
  for (int64_t k = 0; k < width; ++k) {
    for (int64_t j = 0; j < kLanes<T>; ++j) to[k * ld + j] = rows[j][k];
  }
}

#if HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
using Block = hn::Full128<float>;

// Block i of the result is the four values of rows[4·i] at `k`.
HWY_INLINE Vector<float> blocks_of_rows(const float* const* rows, int64_t k) {
  const auto block = [=](int64_t i) HWY_ATTR { return hn::LoadU(Block(), rows[4 * i] + k); };
#if HWY_TARGET <= HWY_AVX3
  const hn::Half<Tag<float>> half;
  return hn::Combine(Tag<float>(), hn::Combine(half, block(3), block(2)), hn::Combine(half, block(1), block(0)));
#elif HWY_TARGET == HWY_AVX2
  return hn::Combine(Tag<float>(), block(1), block(0));
#else
  return block(0);
#endif
}

// Four columns at a time: transposes of 4×4 inside the blocks of 128 bits.
HWY_INLINE void transpose_rows(const float* const* rows, int64_t width, float* to, int64_t ld) {
  const Tag<float> d;
  const Tag<double> pairs;
  const auto lower = [=](auto a, auto b) HWY_ATTR {
    return hn::BitCast(d, hn::InterleaveLower(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b)));
  };
  const auto upper = [=](auto a, auto b) HWY_ATTR {
    return hn::BitCast(d, hn::InterleaveUpper(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b)));
  };
  int64_t k = 0;
  for (; k + 4 <= width; k += 4) {
    const auto r0 = blocks_of_rows(rows, k), r1 = blocks_of_rows(rows + 1, k), r2 = blocks_of_rows(rows + 2, k),
               r3 = blocks_of_rows(rows + 3, k);
    const auto low01 = hn::InterleaveLower(d, r0, r1), low23 = hn::InterleaveLower(d, r2, r3);
    const auto high01 = hn::InterleaveUpper(d, r0, r1), high23 = hn::InterleaveUpper(d, r2, r3);
    store(lower(low01, low23), to + k * ld);
    store(upper(low01, low23), to + (k + 1) * ld);
    store(lower(high01, high23), to + (k + 2) * ld);
    store(upper(high01, high23), to + (k + 3) * ld);
  }
  for (; k < width; ++k) {
    for (int64_t j = 0; j < kLanes<float>; ++j) to[k * ld + j] = rows[j][k];
  }
}
#endif

// The transpose of `count` rows of `width` values from `column` on as panels, which multiply() reads: zeros in the
// lanes after the last row. `spare` holds (lanes + 1)·round_up(width) values.
template <typename T, typename S>
void pack_transposed(const S* const* rows, int64_t count, int64_t width, T* to, T* spare, int64_t column = 0) {
  constexpr int64_t lanes = kLanes<T>;
  const int64_t ld = round_up(width, lanes);
  T* zeros = spare + lanes * ld;
  std::fill(zeros, zeros + ld, T(0));
  const Parts panels((count + lanes - 1) / lanes, kTileVectors);
  for (int64_t i = 0; i < panels.parts; ++i) {
    T* panel = to + panels.begin(i) * lanes * width;
    const int64_t panel_ld = panels.size(i) * lanes;
    for (int64_t v = 0; v < panels.size(i); ++v) {
      const int64_t first = (panels.begin(i) + v) * lanes;
      const int64_t here = std::min(lanes, count - first);
      const T* sources[lanes];
      if constexpr (std::is_same_v<T, S>) {
        for (int64_t j = 0; j < lanes; ++j) sources[j] = j < here ? rows[first + j] + column : zeros;
      } else {
        pack_rows(rows + first, here, width, spare, ld, column);
        for (int64_t j = 0; j < lanes; ++j) sources[j] = j < here ? spare + j * ld : zeros;
      }
      transpose_rows(sources, width, panel + v * lanes, panel_ld);
    }
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
