// Attention of a few rows of a head, a step of decoding: nothing is packed, each key and value is read where it lies,
// once for all rows.
#if defined(FOVEA_KERNELS_FEW_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_FEW_ROWS_INL_H_
#undef FOVEA_KERNELS_FEW_ROWS_INL_H_
#else
#define FOVEA_KERNELS_FEW_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/head-inl.h"
#include "fovea/modules/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kFewRows = kTileRows[kTileVectors];
constexpr int kKeysAtOnce = kTileVectors;

// Whole vectors, so that rows need no copy; nothing masked, so that no value has to be hidden.
template <typename T>
bool is_few_rows(const AttentionCall& call) {
  return call.queries <= kFewRows && call.width % kLanes<T> == 0 && call.value_width % kLanes<T> == 0 && !call.causal &&
         call.bias.data == nullptr && call.mask.data == nullptr;
}

template <typename T, typename S>
class FewRowsTask {
 public:
  explicit FewRowsTask(const AttentionCall& call)
      : call_(call),
        ld_(round_up(call.keys, kLanes<T>)),
        arena_(Arena::bytes_for<T>(kFewRows * call.width) + Arena::bytes_for<T>(kFewRows * ld_) +
               Arena::bytes_for<T>(kFewRows * kLanes<T> * kLanes<T>) +
               Arena::bytes_for<T>(round_up(kFewRows, kLanes<T>)) + 2 * Arena::bytes_for<const S*>(kFewRows) +
               Dropout<T>::bytes(call, ld_)),
        dropout_(call, ld_, arena_),
        q_(arena_.take<T>(kFewRows * call.width)),
        scores_(arena_.take<T>(kFewRows * ld_)),
        lanes_(arena_.take<T>(kFewRows * kLanes<T> * kLanes<T>)),
        shares_(arena_.take<T>(round_up(kFewRows, kLanes<T>))),
        from_(arena_.take<const S*>(kFewRows)),
        to_(arena_.take<S*>(kFewRows)) {}

  void run(int64_t b, int64_t h, const MutableView& out, T* log_sum) {
    const int64_t shared = h / (call_.heads / call_.key_heads), rows = call_.queries;
    for (int64_t i = 0; i < rows; ++i) {
      from_[i] = row_of<S>(call_.q, b, h, i);
      to_[i] = mutable_row_of<S>(out, b, h, i);
    }
    pack_rows(from_, rows, call_.width, q_, call_.width);
    scores<kFewRows>(row_of<S>(call_.k, b, shared, 0));
    const int64_t vectors = ld_ / kLanes<T>;
    for (int64_t i = 0; i < rows; ++i) {
      T* row = scores_ + i * ld_;
      const T top = rule_row(row, vectors, static_cast<T>(call_.scale), RowRules<S>{nullptr, nullptr, call_.keys});
      const T sum = exponentials(row, vectors, top == kMasked<T> ? T(0) : top);
      shares_[i] = sum == 0 ? T(0) : 1 / sum;
      if (log_sum != nullptr) {
        log_sum[(b * call_.heads + h) * rows + i] = sum == 0 ? kMasked<T> : top + std::log(sum);
      }
    }
    dropout_.thin(scores_, ld_, {b * call_.heads + h, 0, rows, 0, ld_});
    multiply<>(Product<T, S>{rows, call_.value_width / kLanes<T>, call_.keys, scores_, ld_,
                             row_of<S>(call_.v, b, shared, 0), call_.v.row, nullptr, 0, false},
               FinishRows<T, S>{shares_, to_, 0, call_.value_width});
  }

 private:
  // Products of R rows with every key; as many as a vector has lanes are added up over lanes at once.
  template <int R>
  void scores(const S* keys) {
    if constexpr (R > 0) {
      if (call_.queries != R) return scores<R - 1>(keys);
      constexpr int64_t lanes = kLanes<T>;
      for (int64_t first = 0; first < call_.keys; first += lanes) {
        const int64_t count = std::min(lanes, call_.keys - first);
        int64_t j = 0;
        for (; j + kKeysAtOnce <= count; j += kKeysAtOnce) dots<R, kKeysAtOnce>(keys + (first + j) * call_.k.row, j);
        for (; j < count; ++j) dots<R, 1>(keys + (first + j) * call_.k.row, j);
        for (int r = 0; r < R; ++r) reduce_lanes(lanes_ + r * lanes * lanes, lanes, scores_ + r * ld_ + first, Sum());
      }
    }
  }

  // What each lane adds up to for R rows and the K keys from j on, in a tile of registers.
  template <int R, int K>
  HWY_INLINE void dots(const S* keys, int64_t j) {
    constexpr int64_t lanes = kLanes<T>;
    Vector<T> sums[R][K];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < K; ++i) sums[r][i] = hn::Zero(Tag<T>());
    }
    for (int64_t k = 0; k < call_.width; k += lanes) {
      Vector<T> parts[K];
#pragma GCC unroll 4
      for (int i = 0; i < K; ++i) parts[i] = load(keys + i * call_.k.row + k);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const auto q = load(q_ + r * call_.width + k);
#pragma GCC unroll 4
        for (int i = 0; i < K; ++i) sums[r][i] = hn::MulAdd(parts[i], q, sums[r][i]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < K; ++i) store(sums[r][i], lanes_ + (r * lanes + j + i) * lanes);
    }
  }

  const AttentionCall& call_;
  int64_t ld_;
  Arena arena_;
  Dropout<T> dropout_;
  T *q_, *scores_;
  T* lanes_;   // [rows,lanes,lanes]: what each lane of a row and a key adds up to
  T* shares_;  // 1/Σ of each row
  const S** from_;
  S** to_;
};

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
