#include "fovea/modules/attention/attention.h"

#include <ATen/ATen.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/problem.h"
#include "fovea/modules/attention/recorded_weights.h"

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
  at::Tensor weights;
  {
    at::NoGradGuard no_grad;
    weights = rows_backends().run({problem, recording::queries()});
  }
  recording::add_weights(module, weights, output, problem.v);
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
