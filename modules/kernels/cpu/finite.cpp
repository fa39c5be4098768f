#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/finite.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/finite.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

namespace fn = hwy::HWY_NAMESPACE;

template <typename Bits>
bool finite_of(const Bits* bits, size_t count, Bits exponent) {
  const fn::ScalableTag<Bits> tag;
  constexpr size_t kAhead = 4096 / sizeof(Bits);  // a page: the processor's own prefetching ends with each
  constexpr size_t kLine = 64 / sizeof(Bits);
  const size_t lanes = fn::Lanes(tag);
  const auto wanted = fn::Set(tag, exponent);
  auto found = fn::Zero(tag);
  size_t i = 0;
  for (; i + kLine <= count; i += kLine) {
    hwy::Prefetch(bits + i + kAhead);
    for (size_t lane = 0; lane < kLine; lane += lanes) {
      found = fn::Or(found, fn::VecFromMask(tag, fn::Eq(fn::And(fn::LoadU(tag, bits + i + lane), wanted), wanted)));
    }
  }
  if (!fn::AllTrue(tag, fn::Eq(found, fn::Zero(tag)))) return false;
  for (; i < count; ++i) {
    if ((bits[i] & exponent) == exponent) return false;
  }
  return true;
}

bool finite16(const uint16_t* bits, size_t count, uint16_t exponent) {
  return finite_of(bits, count, exponent);
}
bool finite32(const uint32_t* bits, size_t count, uint32_t exponent) {
  return finite_of(bits, count, exponent);
}
bool finite64(const uint64_t* bits, size_t count, uint64_t exponent) {
  return finite_of(bits, count, exponent);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(finite16);
HWY_EXPORT(finite32);
HWY_EXPORT(finite64);

bool all_finite(const uint16_t* bits, size_t count, uint16_t exponent) {
  return HWY_DYNAMIC_DISPATCH(finite16)(bits, count, exponent);
}
bool all_finite(const uint32_t* bits, size_t count, uint32_t exponent) {
  return HWY_DYNAMIC_DISPATCH(finite32)(bits, count, exponent);
}
bool all_finite(const uint64_t* bits, size_t count, uint64_t exponent) {
  return HWY_DYNAMIC_DISPATCH(finite64)(bits, count, exponent);
}

}  // namespace fovea::kernels
#endif
