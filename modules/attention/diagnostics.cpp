#include "fovea/modules/attention/diagnostics.h"

#include <ATen/ATen.h>

#include <functional>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// Half of the summed differences of two distributions, the largest over rows […,M].
double total_variation(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().sum(-1).max().item<double>() / 2;
}

constexpr double kSame = 0.01;

}  // namespace

at::Tensor normalised_entropy(const at::Tensor& weights, const at::Tensor& allowed) {
  require(weights.defined() && weights.dim() == 4, ErrorKind::data,
          "normalised_entropy: expected weights [B,H,N,M], got {}", shape_text(weights));
  const auto entropy = -at::special_xlogy(weights, weights).sum(-1);
  const auto count = allowed.defined() ? allowed.expand_as(weights).sum(-1).to(weights.scalar_type())
                                       : at::full_like(entropy, static_cast<double>(weights.size(3)));
  return at::where(count.gt(1), entropy / count.clamp_min(2).log(), at::zeros_like(entropy));
}

const char* name(HeadClass kind) {
  constexpr const char* names[] = {"self", "previous", "next", "first", "local", "uniform", "mixed"};
  return names[static_cast<int>(kind)];
}

std::vector<HeadReport> classify_heads(const at::Tensor& given) {
  require(given.defined() && given.dim() == 4 && given.size(2) == given.size(3) && given.numel() > 0, ErrorKind::data,
          "classify_heads: expected weights [B,H,N,N], got {}", shape_text(given));
  const auto weights = given.detach().to(at::kDouble);
  const int64_t N = weights.size(2);
  const auto places = at::arange(N, at::TensorOptions(at::kLong).device(weights.device()));
  const auto offset = places.unsqueeze(0) - places.unsqueeze(1);  // key − query
  struct Rule {
    HeadClass kind;
    at::Tensor where;  // bool [N,N]
    int64_t rows;      // queries that have such a key
  };
  const std::vector<Rule> rules = {
      {HeadClass::self, offset.eq(0), N},        {HeadClass::previous, offset.eq(-1), N - 1},
      {HeadClass::next, offset.eq(1), N - 1},    {HeadClass::first, places.unsqueeze(0).eq(0).expand({N, N}), N},
      {HeadClass::local, offset.abs().le(3), N},
  };
  const auto entropy = normalised_entropy(weights).mean(at::IntArrayRef({0, 2}));  // [H]
  std::vector<HeadReport> reports;
  for (int64_t head = 0; head < weights.size(1); ++head) {
    const auto mine = weights.select(1, head);  // [B,N,N]
    HeadReport report{.entropy = entropy[head].item<double>()};
    const bool uniform = report.entropy > 0.95;
    for (const Rule& rule : rules) {
      if (uniform || rule.rows == 0) break;
      const double share =
          mine.masked_fill(~rule.where, 0).sum().item<double>() / static_cast<double>(mine.size(0) * rule.rows);
      if (share <= 0.5) continue;
      report.kind = rule.kind;
      report.share = share;
      break;
    }
    if (uniform) {
      report.kind = HeadClass::uniform;
      report.share = report.entropy;
    }
    report.idle = N > 1 && total_variation(mine, mine.narrow(1, 0, 1)) < kSame;
    for (int64_t other = 0; other < head && !report.twin; ++other) {
      if (total_variation(mine, weights.select(1, other)) < kSame) report.twin = other;
    }
    reports.push_back(report);
  }
  return reports;
}

ScoreReport inspect_scores(const at::Tensor& given) {
  require(given.defined() && given.dim() >= 1 && given.numel() > 0, ErrorKind::data,
          "inspect_scores: expected scores […,M], got {}", shape_text(given));
  const auto scores = given.detach().to(at::kDouble);
  ScoreReport report;
  report.nans = scores.isnan().sum().item<int64_t>();
  report.infinities = scores.isposinf().sum().item<int64_t>();
  const auto finite = scores.masked_select(scores.isfinite());
  if (finite.numel() > 0) {
    report.least = finite.min().item<double>();
    report.largest = finite.max().item<double>();
  }
  report.saturated = at::softmax(scores, -1).amax(-1).gt(0.999).to(at::kDouble).mean().item<double>();
  report.suspicious =
      report.nans > 0 || report.infinities > 0 || report.least < -15 || report.largest > 20 || report.saturated > 0.5;
  return report;
}

}  // namespace fovea
