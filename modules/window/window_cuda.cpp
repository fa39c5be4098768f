// The row of our own CUDA kernels: one kernel from qkv to the output, and its gradients.
#include "fovea/modules/attention/cuda_runtime.h"
#include "fovea/modules/window/window_function.h"

namespace fovea {
namespace {

constexpr int64_t kMostCudaWindowWidth = 128;
constexpr int64_t kMostPlaces = 32 * 32;  // of a window: two integers of each lie in shared memory beside the tiles

struct CudaWindows {
  static constexpr int64_t kParts = 1;
  static constexpr bool kKeepsOutput = true;

  static void forward(const kernels::WindowCall& call, void* out, void* log_sum, const at::Tensor& on) {
    const cuda::Launch launch("window_attention", on);
    launch(&cuda::Table::window_forward, call, out, static_cast<float*>(log_sum));
  }

  static void backward(const kernels::WindowCall& call, const WindowSaved& saved,
                       const kernels::WindowGradients& gradients, const at::Tensor& on) {
    cuda::Launch launch("gradients of window_attention", on);
    const kernels::cuda::WindowSaved kept{saved.out.const_data_ptr(), saved.log_sum.const_data_ptr<float>()};
    launch(&cuda::Table::window_backward, call, kept, gradients,
           launch.workspace(launch.table().window_workspace(call, gradients)));
  }

  static at::Tensor table_gradient(const kernels::WindowCall& call, const WindowProblem& p,
                                   const at::Tensor& grad_bias) {
    auto grad_table = at::empty(p.bias_table.sizes(), grad_bias.options());
    const cuda::Launch launch("gradients of window_attention", grad_bias);
    launch(&cuda::Table::window_table_gradient, call, grad_bias.const_data_ptr<float>(), grad_table.size(0),
           grad_table.data_ptr<float>());
    return grad_table;
  }
};

}  // namespace

std::string window_cuda_refuses(const WindowProblem& p) {
  if (const auto reason = cuda::refuses(p.qkv, p.head_width()); !reason.empty()) return reason;
  for (const auto& t : {p.bias_table, p.bias_index, p.bias, p.pad_row}) {
    if (t.defined() && t.device() != p.qkv.device()) return "a bias or padding on another device";
  }
  if (p.layout.places() > kMostPlaces)
    return fmt::format("windows of {} places, over {}", p.layout.places(), kMostPlaces);
  return window_kernel_refuses(p, kMostCudaWindowWidth);
}

at::Tensor window_cuda(const WindowProblem& problem) {
  return kernel_window_attention<CudaWindows>(problem);
}

}  // namespace fovea
