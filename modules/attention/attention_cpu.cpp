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
  if (const auto reason = cpu::refuses(p.q); !reason.empty()) return reason;
  if (p.q.numel() == 0 || p.k.numel() == 0 || p.v.numel() == 0) return "a dimension is empty";
  if (p.dropout > 0) return "dropout";
  if (p.q.size(3) > kMostCpuWidth || p.v.size(3) > kMostCpuWidth) {
    return fmt::format("head widths {} and {}, over {}", p.q.size(3), p.v.size(3), kMostCpuWidth);
  }
  return "";
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
