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

// Approximated and refined once, to 2⁻²³; a division takes twice as long as all else here.
HWY_INLINE Vector<float> reciprocal(Vector<float> x) {
  const auto guess = hn::ApproximateReciprocal(x);
  return hn::Mul(guess, hn::NegMulAdd(x, guess, hn::Set(Tag<float>(), 2.0f)));
}

HWY_INLINE Vector<double> reciprocal(Vector<double> x) {
  return hn::Div(hn::Set(Tag<double>(), 1.0), x);
}

// (1 − t)/(1 + t) with t = e^(−2|x|); absolute error 10⁻⁷.
template <typename T>
HWY_INLINE Vector<T> tanh_of(Vector<T> x) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  const auto t = exp_of_negative(hn::Mul(hn::Abs(x), hn::Set(d, T(-2))));
  return hn::CopySign(hn::Mul(hn::Sub(one, t), reciprocal(hn::Add(one, t))), x);
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
