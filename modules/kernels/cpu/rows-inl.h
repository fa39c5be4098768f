// Rows of scores from a product to their weights: scale, bias and the largest score while the sums are in registers,
// reductions over lanes for as many rows at once as a vector has lanes.
#if defined(FOVEA_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_ROWS_INL_H_
#undef FOVEA_KERNELS_ROWS_INL_H_
#else
#define FOVEA_KERNELS_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <type_traits>

#include "fovea/modules/kernels/cpu/pairs.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// What is read soon may be fetched meanwhile, for one row after the other: ahead(row). All at once would be more misses
// than a chip has under way, and it would wait.
struct NothingAhead {
  HWY_INLINE void operator()(int64_t /*row*/) const {}
};

// Finishes q·kᵀ: scores·scale + bias, −∞ after the last column, and the largest of each lane of a row in `tops`.
template <typename T, typename B, typename Ahead = NothingAhead>
struct FinishScores {
  T* scores;
  int64_t ld;
  T* tops;  // [rows,lanes]
  T scale;
  const B* bias;  // rows of at least `columns`
  int64_t bias_ld;
  int64_t columns;
  Ahead ahead = {};

  template <int R, int C>
  HWY_INLINE void operator()(int64_t row, int64_t column, const Vector<T> (&sums)[R][C]) const {
    const Tag<T> d;
    const auto by = hn::Set(d, scale);
    const int64_t last = columns - column - (C - 1) * kLanes<T>;  // columns of the tile's last vector
    T* to = scores + row * ld + column;
    T* largest = tops + row * kLanes<T>;
    const B* add = bias + row * bias_ld + column;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r, to += ld, largest += kLanes<T>, add += bias_ld) {
      if (column == 0) ahead(row + r);
      auto top = hn::Set(d, kMasked<T>);
#pragma GCC unroll 4
      for (int v = 0; v + 1 < C; ++v) {
        const auto x = hn::MulAdd(sums[r][v], by, load(add + v * kLanes<T>));
        store(x, to + v * kLanes<T>);
        top = v == 0 ? x : hn::Max(top, x);
      }
      constexpr int64_t end = (C - 1) * kLanes<T>;
      const bool whole = last >= kLanes<T>;
      auto x = hn::MulAdd(sums[r][C - 1], by, whole ? load(add + end) : load_first(add + end, last));
      if (!whole) x = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(last)), x, hn::Set(d, kMasked<T>));
      store(x, to + end);
      top = C == 1 ? x : hn::Max(top, x);
      store(column == 0 ? top : hn::Max(top, load(largest)), largest);
    }
  }
};

// Finishes weights·v: each row times its factor, to where it belongs.
template <typename T, typename S, typename Ahead = NothingAhead>
struct FinishRows {
  const T* factors;
  S* const* rows;  // null: nowhere
  int64_t offset;  // in those rows
  int64_t width;
  Ahead ahead = {};

  template <int R, int C>
  HWY_INLINE void operator()(int64_t row, int64_t column, const Vector<T> (&sums)[R][C]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      if (column == 0) ahead(row + r);
      if (rows[row + r] == nullptr) continue;
      S* to = rows[row + r] + offset + column;
      const auto by = hn::Set(Tag<T>(), factors[row + r]);
#pragma GCC unroll 4
      for (int v = 0; v < C; ++v) {
        const int64_t here = width - column - v * kLanes<T>;
        const auto x = hn::Mul(sums[r][v], by);
        if (here >= kLanes<T>) {
          store(x, to + v * kLanes<T>);
        } else {
          store_first<T>(x, to + v * kLanes<T>, here);
        }
      }
    }
  }
};

// What `finish` does with tiles, of sums that a product stored.
template <typename T, typename Finish>
HWY_INLINE void finish_stored(const T* sums, int64_t ld, int64_t rows, int64_t vectors, const Finish& finish) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
      const Vector<T> tile[1][1] = {{load(sums + i * ld + j)}};
      finish(i, j, tile);
    }
  }
}

// Whether sums in T of values in S may be those of pairs (pairs.h), whose vectors have 512 bits.
template <typename T, typename S>
constexpr bool kPairs = std::is_same_v<S, BFloat16>&& kLanes<T> == 16;

// Whether they are, for rows of that width: four pairs of a row are transposed together.
template <typename T, typename S>
bool takes_pairs(int64_t width) {
  return kPairs<T, S> && width % 8 == 0 && pairs_are_fast();
}

// A product whose rows hold words of two values each.
inline PairProduct in_pairs(const Product<float>& p) {
  return {p.rows,  p.vectors,
          p.depth, reinterpret_cast<const uint32_t*>(p.a),
          p.lda,   reinterpret_cast<const uint32_t*>(p.b),
          p.ldb,   p.c,
          p.ldc,   p.add};
}

struct Largest {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Max(a, b);
  }
};

struct Sum {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
};

HWY_INLINE double of_lanes(Largest, Vector<double> v) {
  return largest_of<double>(v);
}
HWY_INLINE double of_lanes(Sum, Vector<double> v) {
  return sum_of<double>(v);
}

// [rows,lanes] → [rows]. Reads and writes up to a whole number of `lanes` rows.
template <typename Op>
HWY_INLINE void reduce_lanes(const double* vectors, int64_t rows, double* to, Op op) {
  for (int64_t i = 0; i < rows; ++i) to[i] = of_lanes(op, load(vectors + i * kLanes<double>));
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET <= HWY_AVX3
// Four steps, in each of which two vectors become one with half as many lanes for each row.
template <typename Op>
HWY_INLINE void reduce_lanes(const float* vectors, int64_t rows, float* to, Op op) {
  const Tag<float> d;
  const Tag<double> pairs;
  constexpr int lanes = kLanes<float>;
  const hn::Half<Tag<float>> half_tag;
  const auto half = [=](const float* x, const float* y) HWY_ATTR {  // x's halves below, y's above
    const auto join = [=](int64_t at) HWY_ATTR {                    // loads instead of shuffles, which have one port
      return hn::Combine(d, hn::LoadU(half_tag, y + at), hn::LoadU(half_tag, x + at));
    };
    return op(join(0), join(lanes / 2));
  };
  const auto pair = [=](Vector<float> x, Vector<float> y) HWY_ATTR {
    const auto a = hn::BitCast(pairs, x), b = hn::BitCast(pairs, y);
    return op(hn::BitCast(d, hn::InterleaveLower(pairs, a, b)), hn::BitCast(d, hn::InterleaveUpper(pairs, a, b)));
  };
  const auto single = [=](Vector<float> x, Vector<float> y)
                          HWY_ATTR { return op(hn::OddEven(y, x), hn::Shuffle2301(hn::OddEven(x, y))); };
  for (int64_t i = 0; i < rows; i += lanes) {
    const float* from = vectors + i * lanes;
    Vector<float> x[lanes / 2];
#pragma GCC unroll 8
    for (int v = 0; v < lanes / 2; ++v) x[v] = half(from + v * lanes, from + (v + lanes / 2) * lanes);
#if HWY_TARGET <= HWY_AVX3
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      x[v] = op(hn::OddEvenBlocks(x[v + 4], x[v]), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(x[v], x[v + 4])));
    }
#endif
    store(single(pair(x[0], x[2]), pair(x[1], x[3])), to + i);
  }
}
#else
template <typename Op>
HWY_INLINE void reduce_lanes(const float* vectors, int64_t rows, float* to, Op op) {
  for (int64_t i = 0; i < rows; ++i) {
    float one[kLanes<float>];
    store(load(vectors + i * kLanes<float>), one);
    for (int64_t j = 1; j < kLanes<float>; ++j) one[0] = hn::GetLane(op(load(one), load_first(one + j, 1)));
    to[i] = one[0];
  }
}
#endif

// exp(score − the row's top) in their place, and what each lane of a row adds up to in `sums` [rows,lanes].
template <typename T>
HWY_INLINE void exponentials_of_rows(T* scores, int64_t ld, int64_t rows, int64_t vectors, const T* top, T* sums) {
  const Tag<T> d;
  for (int64_t i = 0; i < rows; ++i) {
    T* row = scores + i * ld;
    const auto shift = hn::Set(d, top[i]);
    auto sum = hn::Zero(d);
    for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
      const auto p = exp_of_negative(hn::Sub(load(row + j), shift));
      sum = hn::Add(sum, p);
      store(p, row + j);
    }
    store(sum, sums + i * kLanes<T>);
  }
}

// 1/x of `count` numbers, in their place; up to a whole number of vectors.
template <typename T>
HWY_INLINE void invert(T* numbers, int64_t count) {
  const auto one = hn::Set(Tag<T>(), T(1));
  for (int64_t i = 0; i < count; i += kLanes<T>) store(hn::Div(one, load(numbers + i)), numbers + i);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
