// Vectors of one chip's width: loads and stores in every type, the exponential.
#if defined(FOVEA_KERNELS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_VECTORS_INL_H_
#undef FOVEA_KERNELS_VECTORS_INL_H_
#else
#define FOVEA_KERNELS_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>

#include "fovea/modules/kernels/cpu/runtime.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::ScalableTag<T>;
template <typename T>
using Vector = hn::Vec<Tag<T>>;

template <typename T>
constexpr int64_t kLanes = HWY_LANES(T);

// Blocks of columns are read row after row, each on another page: the chip does not guess the next, so that many rows
// ahead are fetched.
constexpr int64_t kRowsAhead = 4;

constexpr int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

template <typename T>
HWY_INLINE Vector<T> load(const T* from) {
  return hn::LoadU(Tag<T>(), from);
}

using Narrow = hn::Rebind<uint16_t, Tag<float>>;

HWY_INLINE Vector<float> widen(hn::Vec<Narrow> bits) {
  return hn::BitCast(Tag<float>(), hn::ShiftLeft<16>(hn::PromoteTo(Tag<uint32_t>(), bits)));
}

HWY_INLINE Vector<float> load(const BFloat16* from) {
  return widen(hn::LoadU(Narrow(), &from->bits));
}

// The first `count` values, zeros after them; reads nothing beyond.
template <typename T>
HWY_INLINE Vector<T> load_first(const T* from, int64_t count) {
  return hn::MaskedLoad(hn::FirstN(Tag<T>(), static_cast<size_t>(count)), Tag<T>(), from);
}

HWY_INLINE Vector<float> load_first(const BFloat16* from, int64_t count) {
#if HWY_TARGET <= HWY_AVX3
  return widen(hn::MaskedLoad(hn::FirstN(Narrow(), static_cast<size_t>(count)), Narrow(), &from->bits));
#else
  HWY_ALIGN BFloat16 whole[HWY_LANES(float)] = {};  // other chips have no masked load of 16 bits
  memcpy(whole, from, static_cast<size_t>(count) * sizeof(BFloat16));
  return load(whole);
#endif
}

template <typename T>
HWY_INLINE void store(Vector<T> value, T* to) {
  hn::StoreU(value, Tag<T>(), to);
}

// To the nearest, ties to even; NaN stays NaN.
HWY_INLINE void store(Vector<float> value, BFloat16* to) {
  const Tag<uint32_t> bits_tag;
  const auto bits = hn::BitCast(bits_tag, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(bits_tag, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(bits_tag, 0x7FFF)));
  const auto is_nan = hn::RebindMask(bits_tag, hn::IsNaN(value));
  const auto chosen = hn::IfThenElse(is_nan, hn::Set(bits_tag, 0x7FC00000), rounded);
  hn::StoreU(hn::DemoteTo(Narrow(), hn::BitCast(Tag<int32_t>(), hn::ShiftRight<16>(chosen))), Narrow(), &to->bits);
}

// The first `count` lanes; writes nothing beyond.
template <typename T, typename S>
HWY_INLINE void store_first(Vector<T> value, S* to, int64_t count) {
  HWY_ALIGN S whole[HWY_LANES(T)];
  store(value, whole);
  memcpy(to, whole, static_cast<size_t>(count) * sizeof(S));
}

// `width` values of a padded row.
template <typename T, typename S>
HWY_INLINE void store_row(const T* row, int64_t width, S* to) {
  int64_t k = 0;
  for (; k + kLanes<T> <= width; k += kLanes<T>) store(load(row + k), to + k);
  if (k < width) store_first<T>(load(row + k), to + k, width - k);
}

HWY_INLINE float widened(float value) {
  return value;
}
HWY_INLINE double widened(double value) {
  return value;
}
HWY_INLINE float widened(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

// eˣ for x ≤ 0, relative error 10⁻⁷; 0 where it is below the least normal number, NaN for NaN.
HWY_INLINE Vector<float> exp_of_negative(Vector<float> x) {
  const Tag<float> d;
  const Tag<int32_t> di;
  // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
  const auto magic = hn::Set(d, 12582912.0f);
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const auto whole = hn::Sub(shifted, magic);
  const auto r = hn::NegMulAdd(whole, hn::Set(d, 0.693147182f), x);  // |r| ≤ ln 2 / 2
  auto p = hn::Set(d, 1.4061240406e-3f);
  p = hn::MulAdd(p, r, hn::Set(d, 8.3790111623e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1664777297e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666365441e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000004344e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0000000496f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), scaled);
}

// The same to 10⁻¹⁵.
HWY_INLINE Vector<double> exp_of_negative(Vector<double> x) {
  const Tag<double> d;
  const Tag<int64_t> di;
  const auto magic = hn::Set(d, 6755399441055744.0);  // 1.5·2⁵²
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.4426950408889634), magic);
  const auto whole = hn::Sub(shifted, magic);
  const auto high = hn::NegMulAdd(whole, hn::Set(d, 6.93147180369123816490e-1), x);
  const auto r = hn::NegMulAdd(whole, hn::Set(d, 1.90821492927058770002e-10), high);
  auto p = hn::Set(d, 1.0 / 6227020800.0);
  for (const double factorial :
       {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0}) {
    p = hn::MulAdd(p, r, hn::Set(d, 1.0 / factorial));
  }
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<52>(hn::BitCast(di, shifted))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -708.0)), scaled);
}

template <typename T>
HWY_INLINE T sum_of(Vector<T> v) {
  return hn::GetLane(hn::SumOfLanes(Tag<T>(), v));
}

template <typename T>
HWY_INLINE T largest_of(Vector<T> v) {
  return hn::GetLane(hn::MaxOfLanes(Tag<T>(), v));
}

// f.operator()<T, S>() for sums in T of values in S, as the type of a call names them.
template <typename F>
HWY_INLINE void with_types(Number type, const F& f) {
  switch (type) {
    case Number::float32:
      return f.template operator()<float, float>();
    case Number::bfloat16:
      return f.template operator()<float, BFloat16>();
    case Number::float64:
      return f.template operator()<double, double>();
    case Number::float16:
      break;  // the glue refuses it
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
