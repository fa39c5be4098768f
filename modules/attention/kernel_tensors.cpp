#include "fovea/modules/attention/kernel_tensors.h"

#include <ATen/ATen.h>

namespace fovea::kernel_tensors {

kernels::Number number(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kDouble:
      return kernels::Number::float64;
    case at::kBFloat16:
      return kernels::Number::bfloat16;
    case at::kHalf:
      return kernels::Number::float16;
    default:
      return kernels::Number::float32;
  }
}

at::ScalarType sum_type(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor with_adjacent_columns(const at::Tensor& t) {
  return !t.defined() || t.stride(-1) == 1 || t.size(-1) == 1 ? t : t.contiguous();
}

at::Tensor in_type(const at::Tensor& t, at::ScalarType type) {
  return !t.defined() || t.scalar_type() == type ? t : t.to(type);
}

namespace {

int64_t stride_of(const at::Tensor& t, int64_t dim) {
  return t.size(dim) == 1 ? 0 : t.stride(dim);
}

}  // namespace

kernels::View view(const at::Tensor& t) {
  return {t.const_data_ptr(), stride_of(t, 0), stride_of(t, 1), stride_of(t, 2)};
}

kernels::MutableView mutable_view(at::Tensor& t) {
  return {t.data_ptr(), stride_of(t, 0), stride_of(t, 1), stride_of(t, 2)};
}

const void* data_of(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr() : nullptr;
}

uint64_t dropout_seed(double dropout) {
  if (dropout == 0) return 0;
  return static_cast<uint64_t>(at::empty({1}, at::kLong).random_().item<int64_t>());
}

std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

}  // namespace fovea::kernel_tensors
