// What the forward and the backward pass share: where a row lies, and what stands beside its scores.
#if defined(FOVEA_KERNELS_HEAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_HEAD_INL_H_
#undef FOVEA_KERNELS_HEAD_INL_H_
#else
#define FOVEA_KERNELS_HEAD_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>

#include "fovea/modules/kernels/cpu/attention.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kKeysOfBlock = 256;
constexpr int64_t kScoresAtOnce = 8192;  // 32 kB in float32

template <typename S>
HWY_INLINE const S* row_of(const View& view, int64_t b, int64_t h, int64_t row) {
  return static_cast<const S*>(view.data) + b * view.batch + h * view.head + row * view.row;
}

template <typename S>
HWY_INLINE S* mutable_row_of(const MutableView& view, int64_t b, int64_t h, int64_t row) {
  return static_cast<S*>(view.data) + b * view.batch + h * view.head + row * view.row;
}

// Of row `i` and the `keys` keys from `key` on.
template <typename S>
HWY_INLINE RowRules<S> rules_of(const AttentionCall& call, int64_t b, int64_t h, int64_t i, int64_t key, int64_t keys) {
  int64_t visible = keys;
  if (call.causal) visible = std::clamp<int64_t>(i + call.causal_offset + 1 - key, 0, keys);
  return {call.bias.data == nullptr ? nullptr : row_of<S>(call.bias, b, h, i) + key,
          call.mask.data == nullptr ? nullptr : row_of<uint8_t>(call.mask, b, h, i) + key, visible};
}

HWY_INLINE bool is_masking(const float* bias) {
  return *bias == kMasked<float>;
}
HWY_INLINE bool is_masking(const double* bias) {
  return *bias == kMasked<double>;
}
HWY_INLINE bool is_masking(const BFloat16* bias) {
  return bias->bits == 0xFF80;
}

template <typename S>
bool sees(const AttentionCall& call, int64_t b, int64_t h, int64_t i, int64_t key) {
  const auto rules = rules_of<S>(call, b, h, i, key, 1);
  return rules.visible > 0 && (rules.mask == nullptr || *rules.mask != 0) &&
         (rules.bias == nullptr || !is_masking(rules.bias));
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
