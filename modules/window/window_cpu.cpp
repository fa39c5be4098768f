// The row of our own CPU kernels: one pass from qkv to the output, nothing in between, and its gradients.
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/kernels/cpu/window.h"
#include "fovea/modules/window/window_function.h"

namespace fovea {
namespace {

constexpr int64_t kMostCpuWindowWidth = 256;

struct CpuWindows {
  static constexpr int64_t kParts = kernels::kWindowParts;
  static constexpr bool kKeepsOutput = false;

  static void forward(const kernels::WindowCall& call, void* out, void*, const at::Tensor&) {
    kernels::window_forward(call, out, cpu::runtime());
  }
  static void backward(const kernels::WindowCall& call, const WindowSaved&, const kernels::WindowGradients& gradients,
                       const at::Tensor&) {
    kernels::window_backward(call, gradients, cpu::runtime());
  }
  static at::Tensor table_gradient(const kernels::WindowCall&, const WindowProblem& p, const at::Tensor& grad_bias) {
    const auto rows = grad_bias.sum(0).flatten(1).t();  // [W⁴,H]
    return at::zeros(p.bias_table.sizes(), grad_bias.options()).index_add_(0, p.bias_index.flatten(), rows);
  }
};

}  // namespace

std::string window_cpu_refuses(const WindowProblem& p) {
  if (const auto reason = cpu::refuses(p.qkv); !reason.empty()) return reason;
  return window_kernel_refuses(p, kMostCpuWindowWidth);
}

at::Tensor window_cpu(const WindowProblem& problem) {
  return kernel_window_attention<CpuWindows>(problem);
}

}  // namespace fovea
