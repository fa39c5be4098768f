// The row of our own CUDA kernels of additive attention.
#include "fovea/modules/attention/additive_function.h"
#include "fovea/modules/attention/cuda_runtime.h"

namespace fovea {
namespace {

struct CudaAdditive {
  // The scores [B,N,M].
  static at::Tensor forward(const PreparedAdditive& prepared, const AdditiveAttentionResult& result) {
    const auto scores = at::empty(result.weights.sizes(), result.weights.options().dtype(at::kFloat));
    const cuda::Launch launch("additive_attention", prepared.query);
    launch(&cuda::Table::additive_forward, prepared.call, result.context.data_ptr(), result.weights.data_ptr(),
           scores.data_ptr<float>());
    return scores;
  }

  static std::vector<at::Tensor> backward(const PreparedAdditive& prepared, const AdditiveGiven& given) {
    const auto& call = prepared.call;
    const auto& scores = given.kept;
    const auto sums = scores.options(), options = prepared.query.options();
    const auto weights = at::empty(scores.sizes(), sums), grad_scores = at::empty(scores.sizes(), sums),
               grad_v_of_queries = at::empty({call.batch * call.queries, call.width}, sums),
               grad_v = at::empty({call.width}, sums);
    const auto grad_query = at::empty(prepared.query.sizes(), options),
               grad_keys = at::empty(prepared.keys.sizes(), options),
               grad_values = at::empty(prepared.values.sizes(), options);
    const cuda::Launch launch("gradients of additive_attention", prepared.query);
    launch(&cuda::Table::additive_backward, call,
           kernels::cuda::AdditiveGradients{.scores = scores.const_data_ptr<float>(),
                                            .grad_context = given.grad_context.const_data_ptr(),
                                            .grad_weights = cuda::data_of(given.grad_weights),
                                            .weights = weights.data_ptr<float>(),
                                            .grad_scores = grad_scores.data_ptr<float>(),
                                            .grad_v_of_queries = grad_v_of_queries.data_ptr<float>(),
                                            .grad_query = grad_query.data_ptr(),
                                            .grad_key = grad_keys.data_ptr(),
                                            .grad_value = grad_values.data_ptr(),
                                            .grad_v = grad_v.data_ptr<float>()});
    return {grad_query, grad_keys, grad_values, grad_v.to(prepared.v.scalar_type())};
  }
};

}  // namespace

std::string additive_cuda_refuses(const AdditiveProblem& p) {
  if (const auto reason = cuda::refuses(p.query); !reason.empty()) return reason;
  return p.relu ? "relu in place of tanh" : additive_kernel_refuses(p);
}

AdditiveAttentionResult additive_on_cuda(const AdditiveProblem& p) {
  return kernel_additive_attention<CudaAdditive>(p);
}

}  // namespace fovea
