#include "fovea/modules/mixing/mixture_of_experts.h"

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

MixtureOfExpertsImpl::MixtureOfExpertsImpl(const MixtureOfExpertsOptions& options) : options(options) {
  require(options.features > 0 && options.hidden > 0 && options.experts > 0, ErrorKind::usage,
          "MixtureOfExperts: features {}, hidden {} and experts {} must be positive", options.features, options.hidden,
          options.experts);
  require(1 <= options.top_k && options.top_k <= options.experts, ErrorKind::usage,
          "MixtureOfExperts: top_k {} is not in 1…{} experts", options.top_k, options.experts);
  reset();
}

void MixtureOfExpertsImpl::reset() {
  router = register_module("router",
                           Linear({.in_features = options.features, .out_features = options.experts, .bias = false}));
  experts = register_module("experts", std::make_shared<ExpertsImpl>(options));
}

void MixtureOfExpertsImpl::ExpertsImpl::reset() {
  list.clear();
  for (int64_t e = 0; e < options.experts; ++e) {
    list.push_back(register_module(
        std::to_string(e),
        Mlp({.features = options.features, .hidden = options.hidden, .activation = options.activation})));
  }
}

MixtureOfExpertsResult MixtureOfExpertsImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.features, ErrorKind::data,
          "MixtureOfExperts: expected x [B,N,{}], got {}", options.features, shape_text(x));
  const int64_t E = options.experts;
  const auto tokens = x.flatten(0, 1);                                      // [T,D]
  const auto probabilities = at::softmax(router->forward(tokens), -1);      // [T,E]
  const auto [top, choice] = probabilities.topk(options.top_k, /*dim=*/1);  // [T,k]
  const auto gates = options.top_k == 1 ? top : top / top.sum(1, /*keepdim=*/true);
  auto output = at::zeros_like(tokens);
  auto share = at::zeros({E}, probabilities.options());
  for (int64_t e = 0; e < E; ++e) {
    const auto sent = choice.eq(e).nonzero();  // [n,2]: token, rank of the choice
    if (sent.size(0) == 0) continue;
    const auto rows = sent.select(1, 0), rank = sent.select(1, 1);
    const auto answers = experts->list[static_cast<size_t>(e)]->forward(tokens.index_select(0, rows));
    const auto factors = gates.index({rows, rank}).unsqueeze(1).to(answers.scalar_type());
    output = output.index_add(0, rows, (answers * factors).to(output.scalar_type()));  // autocast lowers the answers
    share[e] = static_cast<double>(sent.size(0)) / static_cast<double>(choice.numel());
  }
  const auto loss = static_cast<double>(E) * (share * probabilities.mean(0)).sum();
  const auto by_token = [&](const at::Tensor& t) { return t.view({x.size(0), x.size(1), t.size(1)}); };
  if (recording::wanted(this)) {
    auto map = by_token(probabilities).unsqueeze(1);
    const auto rows = recording::queries();
    if (!rows.empty()) map = map.index_select(2, at::tensor(rows, map.options().dtype(at::kLong)));
    recording::add(this, MapKind::tokens, map, rows);
  }
  return {output.view(x.sizes()), loss, by_token(probabilities), by_token(choice)};
}

}  // namespace fovea
