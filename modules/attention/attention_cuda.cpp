// The rows of our own CUDA kernels: attention, decoding steps, and single rows of weights.
#include <algorithm>

#include "fovea/modules/attention/attention_function.h"
#include "fovea/modules/attention/cuda_runtime.h"

namespace fovea {
namespace {

constexpr int64_t kMostCudaWidth = 128;
constexpr int64_t kFewQueries = 16;  // the rows of a warp: a block of the other kernel would have three that idle

struct CudaAttention {
  static void forward(const kernels::AttentionCall& call, const kernels::MutableView& out, void* log_sum,
                      const at::Tensor& on) {
    cuda::Launch launch("attention", on);
    auto* sums = static_cast<float*>(log_sum);
    if (call.queries <= kFewQueries && call.dropout == 0) {
      launch(&cuda::Table::attention_decode, call, out, sums, launch.workspace(launch.table().decode_workspace(call)));
    } else {
      launch(&cuda::Table::attention_forward, call, out, sums);
    }
  }

  static void backward(const kernels::AttentionCall& call, const kernels::AttentionGradients& gradients,
                       const at::Tensor& on) {
    cuda::Launch launch("gradients of attention", on);
    launch(&cuda::Table::attention_backward, call, gradients,
           launch.workspace(launch.table().attention_workspace(call, gradients)));
  }
};

}  // namespace

std::string cuda_refuses(const AttentionProblem& p) {
  const auto reason = cuda::refuses(p.q, std::max(p.q.size(3), p.v.size(3)));
  return reason.empty() ? attention_kernel_refuses(p, kMostCudaWidth) : reason;
}

at::Tensor cuda_attention(const AttentionProblem& p) {
  return kernel_attention<CudaAttention>(p);
}

at::Tensor cuda_attention_rows(const AttentionRowsProblem& rows) {
  check_queries(rows.problem, rows.queries);
  AttentionProblem p = rows.problem;
  p.dropout = 0;
  const PreparedHeads prepared(p, 0);
  const auto index = at::TensorOptions(at::kLong).device(p.q.device());
  const auto asked = rows.queries.empty() ? at::arange(p.q.size(2), index) : at::tensor(rows.queries, index);
  const auto weights =
      at::empty({p.q.size(0), p.q.size(1), asked.size(0), p.k.size(2)}, p.q.options().dtype(at::kFloat));
  cuda::Launch launch("rows of attention", p.q);
  launch(&cuda::Table::attention_rows, prepared.call, asked.const_data_ptr<int64_t>(), asked.size(0),
         /*mean_of_heads=*/false, weights.data_ptr<float>());
  return weights;
}

}  // namespace fovea
