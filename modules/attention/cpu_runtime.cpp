#include "fovea/modules/attention/cpu_runtime.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace fovea::cpu {

kernels::CpuRuntime runtime() {
  const auto parallel_for = [](int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
    at::parallel_for(0, count, grain, [=](int64_t first, int64_t last) { body(context, first, last); });
  };
  return {.parallel_for = parallel_for, .threads = at::get_num_threads()};
}

std::string refuses(const at::Tensor& t) {
  if (!t.device().is_cpu()) return "not on the CPU";
  if (t.scalar_type() != at::kFloat && t.scalar_type() != at::kBFloat16 && t.scalar_type() != at::kDouble) {
    return "neither float32, float64 nor bfloat16";
  }
  return kernels::chip_refuses();
}

kernels::Number number(const at::Tensor& t) {
  if (t.scalar_type() == at::kDouble) return kernels::Number::float64;
  return t.scalar_type() == at::kFloat ? kernels::Number::float32 : kernels::Number::bfloat16;
}

at::ScalarType sum_type(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor with_adjacent_columns(const at::Tensor& t) {
  return !t.defined() || t.stride(-1) == 1 || t.size(-1) == 1 ? t : t.contiguous();
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

}  // namespace fovea::cpu
