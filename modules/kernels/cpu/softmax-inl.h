// Rows of scores: scale, bias, masks, exponentials.
#if defined(FOVEA_KERNELS_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_SOFTMAX_INL_H_
#undef FOVEA_KERNELS_SOFTMAX_INL_H_
#else
#define FOVEA_KERNELS_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <limits>

#include "fovea/modules/kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

template <typename T>
constexpr T kMasked = -std::numeric_limits<T>::infinity();

// Lanes whose byte is not 0.
HWY_INLINE hn::Mask<Tag<float>> lanes_of_bytes(const uint8_t* bytes, Tag<float> d) {
  const Tag<int32_t> wide;
  const auto loaded = hn::LoadU(hn::Rebind<uint8_t, Tag<float>>(), bytes);
  return hn::RebindMask(d, hn::Ne(hn::PromoteTo(wide, loaded), hn::Zero(wide)));
}

HWY_INLINE hn::Mask<Tag<double>> lanes_of_bytes(const uint8_t* bytes, Tag<double> d) {
  const hn::Rebind<int32_t, Tag<double>> half;
  const Tag<int64_t> wide;
  const auto loaded = hn::LoadU(hn::Rebind<uint8_t, Tag<double>>(), bytes);
  return hn::RebindMask(d, hn::Ne(hn::PromoteTo(wide, hn::PromoteTo(half, loaded)), hn::Zero(wide)));
}

// What stands beside one row of scores.
template <typename S>
struct RowRules {
  const S* bias;        // null: none
  const uint8_t* mask;  // null: none
  int64_t visible;      // keys, those after are masked
};

// One vector of scores with all that is added and taken away; `here` lanes of it are visible.
template <typename T, typename S>
HWY_INLINE Vector<T> ruled(Vector<T> score, Vector<T> scale, const RowRules<S>& rules, int64_t j, int64_t here) {
  const Tag<T> d;
  const auto masked = hn::Set(d, kMasked<T>);
  const bool whole = here >= kLanes<T>;
  auto x = hn::Mul(score, scale);
  if (rules.bias != nullptr) {
    const auto bias = whole ? load(rules.bias + j) : load_first(rules.bias + j, here);
    x = hn::IfThenElse(hn::Eq(bias, masked), masked, hn::MulAdd(score, scale, bias));
  }
  if (rules.mask != nullptr) {
    if (whole) {
      x = hn::IfThenElse(lanes_of_bytes(rules.mask + j, d), x, masked);
    } else {
      uint8_t bytes[HWY_LANES(T)] = {};
      memcpy(bytes, rules.mask + j, static_cast<size_t>(here));
      x = hn::IfThenElse(lanes_of_bytes(bytes, d), x, masked);
    }
  }
  return whole ? x : hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(here)), x, masked);
}

// Scores of `vectors` become what the softmax is taken of; returns the largest.
template <typename T, typename S>
HWY_INLINE T rule_row(T* scores, int64_t vectors, T scale, const RowRules<S>& rules) {
  const Tag<T> d;
  const auto factor = hn::Set(d, scale);
  auto top = hn::Set(d, kMasked<T>);
  const int64_t end = vectors * kLanes<T>;
  int64_t j = 0;
  for (; j + kLanes<T> <= rules.visible; j += kLanes<T>) {
    const auto x = ruled<T>(load(scores + j), factor, rules, j, kLanes<T>);
    top = hn::Max(top, x);
    store(x, scores + j);
  }
  if (j < rules.visible) {
    const auto x = ruled<T>(load(scores + j), factor, rules, j, rules.visible - j);
    top = hn::Max(top, x);
    store(x, scores + j);
    j += kLanes<T>;
  }
  for (; j < end; j += kLanes<T>) store(hn::Set(d, kMasked<T>), scores + j);
  return largest_of<T>(top);
}

// exp(score − top) in their place; returns their sum.
template <typename T>
HWY_INLINE T exponentials(T* scores, int64_t vectors, T top) {
  const Tag<T> d;
  const auto shift = hn::Set(d, top);
  auto sum = hn::Zero(d);
  for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
    const auto p = exp_of_negative(hn::Sub(load(scores + j), shift));
    sum = hn::Add(sum, p);
    store(p, scores + j);
  }
  return sum_of<T>(sum);
}

template <typename T>
HWY_INLINE void scale_row(T* row, int64_t vectors, T factor) {
  const auto by = hn::Set(Tag<T>(), factor);
  for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) store(hn::Mul(load(row + j), by), row + j);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
