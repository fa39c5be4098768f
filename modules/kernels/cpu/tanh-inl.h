// What additive attention computes with on its way to the scores and back: the hyperbolic tangent, and rows.
#if defined(FOVEA_KERNELS_TANH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_TANH_INL_H_
#undef FOVEA_KERNELS_TANH_INL_H_
#else
#define FOVEA_KERNELS_TANH_INL_H_
#endif

#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// 1 − 2/(1 + e^2x); absolute error 2·10⁻⁷. The exponential as in vectors-inl.h, halved, on |r| ≤ ln 2 / 4, which needs
// a degree less; the reciprocal is approximated and refined once, since a division takes as long as all else here.
HWY_INLINE Vector<float> tanh_of(Vector<float> given) {
  const Tag<float> d;
  const Tag<int32_t> di;
  const auto x = hn::Max(hn::Set(d, -9.5f), hn::Min(hn::Set(d, 9.5f), given));  // NaN, the second, stays
  const auto magic = hn::Set(d, 12582912.0f);
  const auto shifted = hn::MulAdd(x, hn::Set(d, 2.88539008f), magic);
  const auto r = hn::NegMulAdd(hn::Sub(shifted, magic), hn::Set(d, 0.346573590f), x);
  auto p = hn::Set(d, 0.13276190f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.33532503f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.66670305f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.99997783f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.99999970f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.50000006f));
  const auto half_exp = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  const auto divisor = hn::Add(half_exp, hn::Set(d, 0.5f));
  const auto guess = hn::ApproximateReciprocal(divisor);
  return hn::NegMulAdd(guess, hn::NegMulAdd(divisor, guess, hn::Set(d, 2.0f)), hn::Set(d, 1.0f));
}

// (1 − t)/(1 + t) with t = e^(−2|x|).
HWY_INLINE Vector<double> tanh_of(Vector<double> x) {
  const Tag<double> d;
  const auto one = hn::Set(d, 1.0);
  const auto t = exp_of_negative(hn::Mul(hn::Abs(x), hn::Set(d, -2.0)));
  return hn::CopySign(hn::Div(hn::Sub(one, t), hn::Add(one, t)), x);
}

// `width` values as a row of whole vectors, zeros after them.
template <typename T, typename S>
void widen_row(const S* from, int64_t width, T* to) {
  int64_t k = 0;
  for (; k + kLanes<T> <= width; k += kLanes<T>) store(load(from + k), to + k);
  if (k < width) store(load_first(from + k, width - k), to + k);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
