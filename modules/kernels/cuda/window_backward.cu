#include "fovea/modules/kernels/cuda/bias_gradient.cuh"
#include "fovea/modules/kernels/cuda/window.h"
#include "fovea/modules/kernels/cuda/window_source.cuh"

namespace fovea::kernels::cuda {

namespace {

// Floats of the workspace, one after the other.
struct Sizes {
  size_t products;
  size_t padding;
  size_t bias;
};

BiasSums sums_of(const WindowPass& pass, void* grad_bias) {
  const int64_t places = pass.call.places();
  return bias_sums(pass, MutableView{.data = grad_bias, .batch = 0, .head = places * places, .row = places});
}

int64_t padding_parts(const WindowCall& call) {
  return call.batch * call.windows() * divide_up(call.places(), kRows);
}

Sizes sizes_of(const WindowPass& pass, const WindowGradients& gradients) {
  const auto& call = pass.call;
  return {
      .products = static_cast<size_t>(pass.problems() * call.places()),
      .padding = gradients.grad_pad != nullptr ? static_cast<size_t>(padding_parts(call) * 3 * call.channels()) : 0,
      .bias = gradients.grad_bias != nullptr ? bias_workspace(sums_of(pass, gradients.grad_bias)) / sizeof(float) : 0};
}

// Rows of the table sum the gradients of the pairs of places that read them.
__global__ void __launch_bounds__(kThreads)
    grad_table_kernel(WindowCall call, const float* grad_bias, float* grad_table) {
  const int64_t offset = blockIdx.x / call.heads, head = blockIdx.x % call.heads;
  const int places = static_cast<int>(call.places()), w = static_cast<int>(call.window_width);
  float sum = 0.0f;
  for (int at = static_cast<int>(threadIdx.x); at < places * places; at += kThreads) {
    const int i = at / places, j = at % places;
    const int64_t own = call.table_index != nullptr
                            ? call.table_index[at]
                            : (i / w - j / w + call.window_height - 1) * (2 * w - 1) + i % w - j % w + w - 1;
    if (own == offset) sum += grad_bias[head * places * places + at];
  }
  sum = warp_sum(sum);
  const Shared<float> of_warps(0);
  if (lane_index() == 0) of_warps[warp_index()] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0.0f;
  for (int warp = 0; warp < kWarps; ++warp) total += of_warps[warp];
  grad_table[blockIdx.x] = total;
}

}  // namespace

size_t window_workspace(const WindowCall& call, const WindowGradients& gradients) {
  const Sizes sizes = sizes_of(WindowPass{.call = call}, gradients);
  return (sizes.products + sizes.padding + sizes.bias) * sizeof(float);
}

Status window_backward(const WindowCall& call, const WindowSaved& saved, const WindowGradients& gradients,
                       void* workspace, Stream stream) {
  WindowPass pass{.call = call,
                  .log_sum = const_cast<float*>(saved.log_sum),
                  .saved_out = saved.out,
                  .grad_out = gradients.grad_out,
                  .grad_qkv = gradients.grad_qkv};
  const Sizes sizes = sizes_of(pass, gradients);
  pass.products = static_cast<float*>(workspace);
  if (sizes.padding > 0) pass.padding = pass.products + sizes.products;
  Status status = launch_backward<Windowed>(call.type, pass, stream);
  if (status == nullptr && sizes.padding > 0) {
    const int64_t columns = 3 * call.channels();
    status = launch(add_parts_kernel<float>, dim3(static_cast<unsigned>(divide_up(columns, kSumThreads))), kSumThreads,
                    0, stream, pass.padding, padding_parts(call), columns, int64_t{1}, int64_t{1}, columns,
                    MutableView{.data = gradients.grad_pad});
  }
  if (status != nullptr || gradients.grad_bias == nullptr) return status;
  return launch_bias_gradient<Windowed>(call.type, pass, sums_of(pass, gradients.grad_bias),
                                        pass.products + sizes.products + sizes.padding, stream);
}

Status window_table_gradient(const WindowCall& call, const float* grad_bias, int64_t table_rows, float* grad_table,
                             Stream stream) {
  return launch_blocks(grad_table_kernel, table_rows * call.heads, kWarps * sizeof(float), stream, call, grad_bias,
                       grad_table);
}

}  // namespace fovea::kernels::cuda
