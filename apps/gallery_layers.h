// What the drawings of layers between tokens share.
#pragma once

#include <ATen/ATen.h>

#include "fovea/apps/gallery.h"
#include "fovea/modules/modules.h"
#include "fovea/vision/draw/token_map.h"

namespace fovea::gallery {

inline constexpr int64_t kTokenCount = 24, kWidth = 16, kHeads = 2;
inline constexpr int64_t kRows = 4, kColumns = 6;  // of the tokens on a grid

using Panels = std::vector<GalleryPanel>;

// Four groups of six tokens that drift within: [1,24,16].
inline at::Tensor tokens() {
  const auto place = at::arange(kTokenCount, at::kFloat).unsqueeze(1), column = at::arange(kWidth, at::kFloat);
  const auto group = at::floor(place / 6);
  return (at::cos(0.9 * column * group + column) + 0.5 * at::sin(0.2618 * place * (1 + column / 4))).unsqueeze(0);
}

inline GalleryPanel panel(const std::string& title, const at::Tensor& matrix,
                          const std::string& unit = "attention weight", const std::string& x_axis = kSourceAxis,
                          const std::string& y_axis = kTargetAxis) {
  return {matrix_panel(matrix, title, unit), x_axis, y_axis};
}

// A layer whose parameters lie away from their neutral start.
template <typename Layer>
Layer drawn(Layer layer, double spread = 0.4) {
  const at::NoGradGuard no_grad;
  at::manual_seed(11);
  for (auto& parameter : layer->parameters()) parameter.normal_(0, spread);
  layer->eval();
  return layer;
}

// The first map that a layer records, the mean of its heads.
template <typename Layer, typename Run>
Panels recorded(const std::string& title, Layer& layer, Run run, const std::string& x_axis = kSourceAxis) {
  const at::NoGradGuard no_grad;
  const AttentionRecorder recorder(*layer);
  run(layer);
  const auto matrix = recorder.maps().at(0).weights[0].mean(0);
  return {panel(title, matrix, "attention weight", x_axis, matrix.size(0) == 1 ? "query" : kTargetAxis)};
}

// Every map that a layer records, or those whose path in it matches `layers`.
template <typename Layer>
Panels all_recorded(const std::string& name, Layer layer, const std::string& layers = ".*") {
  const at::NoGradGuard no_grad;
  const AttentionRecorder recorder(*layer, {.layers = layers});
  layer->forward(tokens());
  Panels panels;
  for (const AttentionMap& map : recorder.maps()) {
    panels.push_back(panel(map.path.empty() ? name : name + ", " + map.path, map.weights[0].mean(0)));
  }
  return panels;
}

// How strongly each output token depends on each input token: the norm of its gradient.
template <typename Run>
Panels influence(const std::string& title, Run run) {
  const auto x = tokens().requires_grad_(true);
  const auto y = run(x)[0];  // [N,D]
  const auto weights = at::cos(at::arange(1, y.size(1) + 1, at::kFloat));
  auto matrix = at::empty({kTokenCount, kTokenCount});
  for (int64_t i = 0; i < kTokenCount; ++i) {
    x.mutable_grad() = at::Tensor();
    (y[i] * weights).sum().backward({}, /*retain_graph=*/true);
    matrix[i] = x.grad()[0].norm(2, {1});
  }
  return {panel(title, matrix, "norm of the gradient")};
}

Panels attention_free_full();
Panels attention_free_simple();
Panels fourier();
Panels temporal_convolution();
Panels experts();
Panels s4();
Panels mamba();

}  // namespace fovea::gallery
