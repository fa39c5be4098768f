#include "fovea/modules/attention/cpu_runtime.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "fovea/modules/kernels/cpu/dropout.h"

namespace fovea::cpu {

kernels::CpuRuntime runtime() {
  const auto parallel_for = [](int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
    at::parallel_for(0, count, grain, [=](int64_t first, int64_t last) { body(context, first, last); });
  };
  return {.parallel_for = parallel_for, .threads = at::get_num_threads()};
}

at::Tensor dropout_factors(double dropout, uint64_t seed, at::IntArrayRef sizes, const at::Tensor& like) {
  if (dropout == 0) return {};
  const auto factors = at::empty(sizes, at::kDouble);
  const int64_t rows = factors.size(-2), columns = factors.size(-1);
  kernels::dropout_factors(
      {.dropout = dropout, .seed = seed, .heads = factors.numel() / (rows * columns), .rows = rows, .columns = columns},
      factors.data_ptr<double>(), runtime());
  return factors.to(like.device(), like.scalar_type());
}

std::string refuses(const at::Tensor& t) {
  if (!t.device().is_cpu()) return "not on the CPU";
  if (t.scalar_type() != at::kFloat && t.scalar_type() != at::kBFloat16 && t.scalar_type() != at::kDouble) {
    return "neither float32, float64 nor bfloat16";
  }
  return kernels::chip_refuses();
}

}  // namespace fovea::cpu
