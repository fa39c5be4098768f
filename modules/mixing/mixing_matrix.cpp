#include "fovea/modules/mixing/mixing_matrix.h"

#include <limits>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/at_least_float.h"

namespace fovea::detail {

void record_mixing(const torch::nn::Module* module, const at::Tensor& y, const std::function<MixingMatrix()>& matrix) {
  if (!recording::wanted(module)) return;
  const at::AutoGradMode mode(at::GradMode::is_enabled() && recording::differentiable(module));
  const MixingMatrix mixing = matrix();
  const auto rows = recording::queries();
  const auto kept = [rows](const at::Tensor& t) {
    return rows.empty() ? t : t.index_select(1, at::tensor(rows, t.options().dtype(at::kLong)));
  };
  const auto size = kept(mixing.size);
  const auto shares = size / size.sum(-1, /*keepdim=*/true).clamp_min(std::numeric_limits<float>::min());
  const auto weights = shares.unsqueeze(1).expand({y.size(0), 1, -1, -1});
  const size_t index = recording::add(module, MapKind::tokens, weights, rows);
  if (!recording::gradients(module) || !y.requires_grad()) return;
  recording::add_gradient(index, y, [mixing, kept, weights](const at::Tensor& grad) {
    const auto worth = kept(mixing.worth(grad)).unsqueeze(1);
    return at::where(weights > 0, worth / weights, at::zeros_like(worth));
  });
}

MixingMatrix matrix_of(const MixingTaps& taps, int64_t tokens) {
  const auto numbers = taps.size.options().dtype(at::kLong);
  const auto distances = at::tensor(taps.distances, numbers), places = at::arange(tokens, numbers);
  const auto near = distances.lt(tokens);
  const auto by_distance = at::zeros({tokens}, taps.size.options())
                               .index_add(0, distances.masked_select(near), taps.size.masked_select(near));
  const auto between = (places.unsqueeze(1) - places).clamp_min(0);  // 0 also where j is later
  return {by_distance.index_select(0, between.flatten()).view({1, tokens, tokens}).tril(),
          [taps, tokens](const at::Tensor& grad) {
            const auto g = at_least_float(grad);
            auto worth = at::zeros({g.size(0), tokens, tokens}, g.options());
            for (size_t tap = 0; tap < taps.distances.size(); ++tap) {
              const int64_t distance = taps.distances[tap], pairs = tokens - distance;
              if (pairs <= 0) continue;
              const auto entered = taps.enter(static_cast<int64_t>(tap)).narrow(1, 0, pairs);
              worth.diagonal(-distance, 1, 2).add_((g.narrow(1, distance, pairs) * entered).sum(-1));
            }
            return worth;
          }};
}

}  // namespace fovea::detail
