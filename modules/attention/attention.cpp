#include "fovea/modules/attention/attention.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/problem.h"
#include "fovea/modules/attention/recorder.h"

namespace fovea {
namespace {

const BackendTable<at::Tensor, AttentionProblem>& attention_backends() {
  static const BackendTable<at::Tensor, AttentionProblem> table(
      "attention", {
                       {"cpu", cpu_refuses, cpu_attention},
                       {"cuda", cuda_refuses, cuda_attention},
                       {"sdpa", sdpa_refuses, sdpa_attention},
                       {"reference", [](const AttentionProblem&) { return std::string(); },
                        [](const AttentionProblem& p) { return reference_attention(p).output; }},
                   });
  return table;
}

const BackendTable<at::Tensor, AttentionRowsProblem>& rows_backends() {
  static const BackendTable<at::Tensor, AttentionRowsProblem> table(
      "rows of attention",
      {
          {"cuda", [](const AttentionRowsProblem& rows) { return cuda_refuses(rows.problem); }, cuda_attention_rows},
          {"reference", [](const AttentionRowsProblem&) { return std::string(); },
           [](const AttentionRowsProblem& rows) {
             return attention_weights(select_queries(rows.problem, rows.queries));
           }},
      });
  return table;
}

// Adds the rows asked for beside the output that a backend has already computed.
void record(const AttentionProblem& problem, const at::Tensor& output, const torch::nn::Module* module) {
  const auto queries = recording::queries();
  size_t index;
  {
    at::NoGradGuard no_grad;
    index = recording::add(module, MapKind::tokens, rows_backends().run({problem, queries}), queries);
  }
  if (!recording::gradients(module) || !output.requires_grad()) return;
  const auto v = problem.v.detach().repeat_interleave(problem.heads_per_key(), 1);
  recording::add_gradient(index, output, [v, queries](const at::Tensor& grad) {
    // d(loss)/d(weights) = dO·Vᵀ for the rows kept.
    const auto rows =
        queries.empty() ? grad : grad.index_select(2, at::tensor(queries, grad.options().dtype(at::kLong)));
    return at::matmul(rows, v.transpose(-2, -1));
  });
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionArgs& args) {
  const auto problem = validate(q, k, v, args);
  if (!recording::wanted(args.module)) return attention_backends().run(problem, args.backend);
  if (recording::differentiable(args.module)) {
    const auto result = reference_attention(problem);
    const auto queries = recording::queries();
    auto rows = result.weights;
    if (!queries.empty()) rows = rows.index_select(2, at::tensor(queries, q.options().dtype(at::kLong)));
    recording::add(args.module, MapKind::tokens, rows, queries);
    return result.output;
  }
  const auto output = attention_backends().run(problem, args.backend);
  record(problem, output, args.module);
  return output;
}

std::string explain_backend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionArgs& args) {
  return attention_backends().explain(validate(q, k, v, args));
}

}  // namespace fovea
