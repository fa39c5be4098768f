// The row of our own CPU kernels.
#include "fovea/modules/attention/attention_function.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/part.h"

namespace fovea {
namespace {

constexpr int64_t kMostCpuWidth = 256;

struct CpuAttention {
  static void forward(const kernels::AttentionCall& call, const kernels::MutableView& out, void* log_sum,
                      const at::Tensor&) {
    kernels::attention_forward(call, out, log_sum, cpu::runtime());
  }
  static void backward(const kernels::AttentionCall& call, const kernels::AttentionGradients& gradients,
                       const at::Tensor&) {
    kernels::attention_backward(call, gradients, cpu::runtime());
  }
};

}  // namespace

std::string cpu_refuses(const AttentionProblem& p) {
  const auto reason = cpu::refuses(p.q);
  return reason.empty() ? attention_kernel_refuses(p, kMostCpuWidth) : reason;
}

at::Tensor cpu_attention(const AttentionProblem& p) {
  return kernel_attention<CpuAttention>(p);
}

AttentionPart cpu_attention_part(const AttentionProblem& p) {
  const auto log_sum = empty_log_sum(p.q);
  const auto out = AttentionFunction<CpuAttention>::run(p, 0, log_sum);
  return {out, log_sum};
}

PartGradients cpu_attention_part_gradients(const AttentionProblem& p, const AttentionPart& whole,
                                           const at::Tensor& grad) {
  const auto type = p.q.scalar_type();
  const auto all = AttentionFunction<CpuAttention>::gradients(
      p, PreparedHeads(p, 0), {whole.output.to(type), whole.log_sum, grad.to(type)}, /*wants_bias=*/false);
  return {.q = all[0], .k = all[1], .v = all[2]};
}

}  // namespace fovea
