#include <ATen/ATen.h>
#include <fmt/ostream.h>

#include <cmath>

#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/attention/masks.h"
#include "fovea/modules/attention/problem.h"
#include "fovea/modules/autocast.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// [N,M] and the middle form (named by `middle`: where a leading dimension goes) → four dimensions that broadcast to
// [B,H,N,M]; anything else throws, naming both shapes.
at::Tensor four_dimensions(const char* name, const at::Tensor& t, int64_t middle, at::IntArrayRef target) {
  auto out = t;
  if (t.dim() == 2) out = t.view({1, 1, t.size(0), t.size(1)});
  if (t.dim() == 3) out = t.unsqueeze(middle);
  bool fits = out.dim() == 4 && out.size(3) == target[3];
  for (int64_t i = 0; fits && i < 3; ++i) fits = out.size(i) == target[i] || out.size(i) == 1;
  require(fits, ErrorKind::data, "attention: {} {} does not fit scores [{}]", name, shape_text(t),
          fmt::join(target, ","));
  return out;
}

}  // namespace

AttentionProblem validate(const at::Tensor& given_q, const at::Tensor& given_k, const at::Tensor& given_v,
                          const AttentionArgs& args) {
  require(given_q.defined() && given_k.defined() && given_v.defined(), ErrorKind::data,
          "attention: q, k or v is undefined");
  const auto q = autocast(given_q), k = autocast(given_k), v = autocast(given_v);
  const bool shapes_fit = q.dim() == 4 && k.dim() == 4 && v.dim() == 4 && k.size(0) == q.size(0) &&
                          v.size(0) == q.size(0) && v.size(1) == k.size(1) && k.size(3) == q.size(3) &&
                          v.size(2) == k.size(2);
  require(shapes_fit, ErrorKind::data,
          "attention: expected q [B,H,N,d], k [B,K,M,d], v [B,K,M,e], got q {}, k {}, v {}", shape_text(q),
          shape_text(k), shape_text(v));
  require(k.size(1) == q.size(1) || (k.size(1) > 0 && q.size(1) % k.size(1) == 0), ErrorKind::data,
          "attention: heads {} of q {} are not a multiple of those of k {}", q.size(1), shape_text(q), shape_text(k));
  require(
      at::isFloatingType(q.scalar_type()) && k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type(),
      ErrorKind::data, "attention: expected one floating type, got q {}, k {}, v {}", toString(q.scalar_type()),
      toString(k.scalar_type()), toString(v.scalar_type()));
  require(k.device() == q.device() && v.device() == q.device(), ErrorKind::data,
          "attention: expected one device, got q {}, k {}, v {}", fmt::streamed(q.device()), fmt::streamed(k.device()),
          fmt::streamed(v.device()));
  for (const auto& [name, t] : {std::pair("mask", args.mask), {"key_lengths", args.key_lengths}, {"bias", args.bias}}) {
    if (!t.defined()) continue;
    require(t.device() == q.device(), ErrorKind::data, "attention: {} is on {}, q on {}", name,
            fmt::streamed(t.device()), fmt::streamed(q.device()));
  }
  require(args.dropout >= 0 && args.dropout < 1, ErrorKind::usage, "attention: dropout {} does not lie in [0,1)",
          args.dropout);

  AttentionProblem problem{.q = q, .k = k, .v = v};
  problem.scale = args.scale.value_or(q.size(3) == 0 ? 1.0 : 1.0 / std::sqrt(static_cast<double>(q.size(3))));
  problem.dropout = args.dropout;
  problem.dropout_mode = args.dropout_mode;
  problem.causal = args.causal;
  problem.causal_align = args.causal_align;

  const std::array<int64_t, 4> scores = {q.size(0), q.size(1), q.size(2), k.size(2)};
  if (args.mask.defined()) {
    require(args.mask.scalar_type() == at::kBool, ErrorKind::data,
            "attention: mask {} has type {}, expected bool (true = attend); a floating mask is a bias",
            shape_text(args.mask), toString(args.mask.scalar_type()));
    problem.mask = four_dimensions("mask", args.mask, 1, scores);
  }
  if (args.key_lengths.defined()) {
    require(args.key_lengths.dim() == 1 && args.key_lengths.size(0) == q.size(0), ErrorKind::data,
            "attention: key_lengths {} does not fit q {}", shape_text(args.key_lengths), shape_text(q));
    problem.mask = combine_masks(problem.mask, length_mask(args.key_lengths, k.size(2)));
  }
  if (args.bias.defined()) {
    require(at::isFloatingType(args.bias.scalar_type()), ErrorKind::data,
            "attention: bias {} has type {}, expected floating", shape_text(args.bias),
            toString(args.bias.scalar_type()));
    problem.bias = kernel_tensors::in_type(four_dimensions("bias", args.bias, 0, scores), q.scalar_type());
  }
  if (args.position != nullptr) {
    // Weights of the places may be wider than q: under autocast, or left in float32.
    const auto turned = args.position->rotate(q, k, args.places);
    require(turned.q.sizes() == q.sizes() && turned.k.sizes() == k.sizes(), ErrorKind::data,
            "attention: the positions make q {} and k {} of q {} and k {}", shape_text(turned.q), shape_text(turned.k),
            shape_text(q), shape_text(k));
    problem.q = turned.q.to(q.scalar_type());
    problem.k = turned.k.to(k.scalar_type());
    if (const auto bias = args.position->bias(q, k, args.places); bias.defined()) {
      const auto added = four_dimensions("bias of the positions", bias, 0, scores).to(q.scalar_type());
      problem.bias = problem.bias.defined() ? problem.bias + added : added;
    }
  }
  return problem;
}

at::Tensor full_mask(const AttentionProblem& problem) {
  if (!problem.causal) return problem.mask;
  const auto causal = causal_mask(problem.q.size(2), problem.k.size(2), problem.causal_align, problem.q.device());
  return combine_masks(problem.mask, causal.view({1, 1, causal.size(0), causal.size(1)}));
}

void check_queries(const AttentionProblem& problem, const std::vector<int64_t>& queries) {
  const int64_t count = problem.q.size(2);
  for (const int64_t query : queries) {
    require(query >= 0 && query < count, ErrorKind::data, "attention: recorded query {} does not lie in 0…{}", query,
            count - 1);
  }
}

AttentionProblem select_queries(const AttentionProblem& problem, const std::vector<int64_t>& queries) {
  if (queries.empty()) return problem;
  check_queries(problem, queries);
  const auto index = at::tensor(queries, at::TensorOptions(at::kLong).device(problem.q.device()));
  const auto rows = [&](const at::Tensor& t) { return t.defined() && t.size(2) > 1 ? t.index_select(2, index) : t; };
  AttentionProblem selected = problem;
  selected.mask = rows(full_mask(problem));
  selected.causal = false;
  selected.q = problem.q.index_select(2, index);
  selected.bias = rows(problem.bias);
  return selected;
}

}  // namespace fovea
