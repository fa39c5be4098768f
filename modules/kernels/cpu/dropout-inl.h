// Which weights are left out: numbers of a counter, those of the CUDA kernels (cuda/philox.cuh), so that a seed means
// the same on every device, and a backward pass draws again what the forward pass drew.
//
// Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011, https://doi.org/10.1145/2063384.2063405
// (Philox 4×32, 10 rounds).
#if defined(FOVEA_KERNELS_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_DROPOUT_INL_H_
#undef FOVEA_KERNELS_DROPOUT_INL_H_
#else
#define FOVEA_KERNELS_DROPOUT_INL_H_
#endif

#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/vectors-inl.h"

#ifndef FOVEA_KERNELS_DROPOUT_PLACE_
#define FOVEA_KERNELS_DROPOUT_PLACE_
namespace fovea::kernels {

// A piece of a head's weights.
struct DropoutPlace {
  int64_t head;  // counted over all images
  int64_t row;
  int64_t rows;
  int64_t column;
  int64_t columns;  // whole vectors
};

}  // namespace fovea::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

using Words = Vector<uint32_t>;

// A vector of counters, which become four numbers each.
struct Counters {
  Words x, y, z, w;
};

// `words` times a number: the upper halves of the products, the lower ones in their place.
HWY_INLINE Words multiply_words(Words& words, uint32_t by) {
  const Tag<uint32_t> d;
#if HWY_TARGET == HWY_SCALAR
  const uint64_t product = uint64_t{hn::GetLane(words)} * by;
  words = hn::Set(d, static_cast<uint32_t>(product));
  return hn::Set(d, static_cast<uint32_t>(product >> 32));
#else
  const Tag<uint64_t> pairs;
  const auto factor = hn::Set(d, by);
  const auto even = hn::MulEven(words, factor);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(pairs, words))), factor);
  words = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  return hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
#endif
}

HWY_INLINE Counters philox(Counters c, uint32_t key_x, uint32_t key_y) {
  const Tag<uint32_t> d;
  for (int round = 0; round < 10; ++round) {
    const auto high_x = multiply_words(c.x, 0xD2511F53u), high_z = multiply_words(c.z, 0xCD9E8D57u);
    c = {hn::Xor(hn::Xor(high_z, c.y), hn::Set(d, key_x)), c.z, hn::Xor(hn::Xor(high_x, c.w), hn::Set(d, key_y)), c.x};
    key_x += 0x9E3779B9u;
    key_y += 0xBB67AE85u;
  }
  return c;
}

// The generator of a call. A counter serves four weights: rows i and i + 8, columns j and j + 8.
template <typename T>
class Dropout {
 public:
  // Of an arena, for rows of so many columns.
  template <typename Call>
  static size_t bytes(const Call& call, int64_t columns) {
    return 2 * Arena::bytes_for<uint32_t>(words(call, columns));
  }

  template <typename Call>
  Dropout(const Call& call, int64_t columns, Arena& arena)
      : threshold_(static_cast<uint32_t>(call.dropout * 4294967296.0)),
        factor_(static_cast<T>(1 / (1 - call.dropout))),
        key_x_(static_cast<uint32_t>(call.seed)),
        key_y_(static_cast<uint32_t>(call.seed >> 32) ^ static_cast<uint32_t>(call.offset >> 32)),
        offset_(static_cast<uint32_t>(call.offset)),
        numbers_{arena.take<uint32_t>(words(call, columns)), arena.take<uint32_t>(words(call, columns))} {}

  // f(i, numbers) for each row i of the piece; without dropout in order, and `numbers` is null.
  template <typename F>
  void each_row(const DropoutPlace& at, const F& f) const {
    if (threshold_ == 0) {
      for (int64_t i = 0; i < at.rows; ++i) f(i, static_cast<const uint32_t*>(nullptr));
      return;
    }
    const int64_t skipped = at.column % kColumns;
    const auto has = [&](int64_t row) { return row >= at.row && row < at.row + at.rows; };
    for (int64_t row = at.row / 16 * 16; row < at.row + at.rows; row += row % 8 == 7 ? 9 : 1) {
      if (!has(row) && !has(row + 8)) continue;
      draw(at.head, row, at.column - skipped, skipped + at.columns);
      if (has(row)) f(row - at.row, numbers_[0] + skipped);
      if (has(row + 8)) f(row + 8 - at.row, numbers_[1] + skipped);
    }
  }

  // Weights with these numbers: 0, or 1/(1 − the probability) times as large.
  HWY_INLINE Vector<T> thinned(Vector<T> weights, const uint32_t* numbers) const {
    return hn::IfThenZeroElse(drops(Tag<T>(), numbers), hn::Mul(weights, hn::Set(Tag<T>(), factor_)));
  }

  // Rows of weights in their place.
  void thin(T* weights, int64_t ld, const DropoutPlace& at) const {
    if (threshold_ == 0) return;
    each_row(at, [&](int64_t i, const uint32_t* numbers) {
      T* row = weights + i * ld;
      for (int64_t j = 0; j < at.columns; j += kLanes<T>) store(thinned(load(row + j), numbers + j), row + j);
    });
  }

 private:
  static constexpr int64_t kColumns = 32;  // whose numbers are drawn together

  template <typename Call>
  static int64_t words(const Call& call, int64_t columns) {
    return call.dropout > 0 ? round_up(columns + kColumns - 1, kColumns) : 0;
  }

  HWY_INLINE hn::Mask<Tag<float>> drops(Tag<float> d, const uint32_t* numbers) const {
    return hn::RebindMask(d, hn::Lt(load(numbers), hn::Set(Tag<uint32_t>(), threshold_)));
  }
  HWY_INLINE hn::Mask<Tag<double>> drops(Tag<double> d, const uint32_t* numbers) const {
    const Tag<uint64_t> wide;
    const auto drawn = hn::PromoteTo(wide, hn::LoadU(hn::Rebind<uint32_t, Tag<double>>(), numbers));
    return hn::RebindMask(d, hn::Lt(drawn, hn::Set(wide, uint64_t{threshold_})));
  }

  // Of rows `row` and `row` + 8, from a multiple of kColumns on.
  void draw(int64_t head, int64_t row, int64_t column, int64_t columns) const {
    constexpr int64_t lanes = kLanes<uint32_t>;
    static_assert(lanes <= (HWY_TARGET <= HWY_AVX3 ? 16 : 8));
    const Tag<uint32_t> d;
    const auto of_head = hn::Set(d, static_cast<uint32_t>(head)), of_row = hn::Set(d, static_cast<uint32_t>(row)),
               start = hn::Set(d, static_cast<uint32_t>(column)), eights = hn::Set(d, ~uint32_t{7});
    for (int64_t i = 0; 2 * i < columns; i += lanes) {
      const auto index = hn::Iota(d, static_cast<uint32_t>(i));
      const auto of_column = hn::Add(start, hn::Add(index, hn::And(index, eights)));  // 0…7, 16…23, 32…39, …
      const Counters drawn = philox({of_row, of_column, of_head, hn::Set(d, offset_)}, key_x_, key_y_);
      store_eights(drawn.x, drawn.y, i, numbers_[0]);
      store_eights(drawn.z, drawn.w, i, numbers_[1]);
    }
  }

  // Eights of both in turn.
  static HWY_INLINE void store_eights(Words first, Words second, int64_t i, uint32_t* to) {
#if HWY_TARGET <= HWY_AVX3
    const Tag<uint32_t> d;
    store(hn::ConcatLowerLower(d, second, first), to + 2 * i);
    store(hn::ConcatUpperUpper(d, second, first), to + 2 * i + 16);
#else
    const int64_t at = i + i / 8 * 8;
    store(first, to + at);
    store(second, to + at + 8);
#endif
  }

  uint32_t threshold_;  // numbers below are left out
  T factor_;            // of those that stay
  uint32_t key_x_, key_y_, offset_;
  uint32_t* numbers_[2];  // of row and row + 8
};

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
