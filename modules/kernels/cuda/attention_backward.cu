#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/modules/kernels/cuda/bias_gradient.cuh"

namespace fovea::kernels::cuda {

namespace {

size_t rows_of(const AttentionCall& call) {
  return static_cast<size_t>(call.batch * call.heads * call.queries);
}

}  // namespace

size_t attention_workspace(const AttentionCall& call, const AttentionGradients& gradients) {
  const size_t bytes = rows_of(call) * sizeof(float);
  if (gradients.grad_bias.data == nullptr) return bytes;
  return bytes + bias_workspace(bias_sums(DenseCall{.call = call}, gradients.grad_bias));
}

Status attention_backward(const AttentionCall& call, const AttentionGradients& gradients, void* workspace,
                          Stream stream) {
  auto* products = static_cast<float*>(workspace);
  const DenseCall all{.call = call, .gradients = gradients, .products = products};
  const Status status = launch_backward<Dense>(call.type, all, stream);
  if (status != nullptr || gradients.grad_bias.data == nullptr) return status;
  return launch_bias_gradient<Dense>(call.type, all, bias_sums(all, gradients.grad_bias), products + rows_of(call),
                                     stream);
}

}  // namespace fovea::kernels::cuda
