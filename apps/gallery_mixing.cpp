// Drawings of what else mixes tokens.
#include "fovea/apps/gallery_layers.h"

namespace fovea::gallery {

Panels attention_free_full() {
  auto layer = drawn(AttentionFree({.dim = kWidth, .tokens = kTokenCount}), 0.5);
  return recorded("AFT-full, mean of the channels", layer, [](auto& l) { l->forward(tokens()); });
}

Panels attention_free_simple() {
  auto layer = drawn(AttentionFree({.dim = kWidth, .causal = true}));
  return recorded("AFT-simple, causal, mean of the channels", layer, [](auto& l) { l->forward(tokens()); });
}

Panels fourier() {
  Linear caller({.in_features = 1, .out_features = 1});
  auto panels = recorded("FNet, all columns", caller, [](auto& l) { fourier_mixing(tokens(), {.module = l.get()}); });
  const auto responses = fourier_mixing(at::eye(kTokenCount).unsqueeze(-1)).squeeze(-1);  // of a one at each token
  panels.push_back(panel("FNet, column 0", responses.t(), "factor"));
  return panels;
}

Panels temporal_convolution() {
  auto layer = drawn(TemporalConv({.in_channels = kWidth, .channels = {16, 16, 16}}));
  auto panels = all_recorded("temporal convolution", layer, ".*conv1");
  for (auto& one :
       influence("temporal convolution, 3 blocks", [&](const at::Tensor& x) { return layer->forward(x); })) {
    panels.push_back(std::move(one));
  }
  return panels;
}

Panels experts() {
  auto layer = drawn(MixtureOfExperts({.features = kWidth, .hidden = 8, .experts = 6}));
  return recorded(
      "mixture of experts", layer, [](auto& l) { l->forward(tokens()); }, "expert");
}

Panels s4() {
  at::manual_seed(17);
  S4 layer({.width = kWidth, .dt_min = 0.02});
  auto panels = all_recorded("S4", layer);
  panels.push_back(
      panel("S4, kernels", layer->kernel->forward(kTokenCount).detach(), "factor", "tokens ago", "channel"));
  return panels;
}

Panels mamba() {
  auto layer = drawn(Mamba({.width = kWidth}), 0.5);
  layer->dt_proj->bias.detach().sub_(3);  // steps that tokens make long or short
  return all_recorded("Mamba", layer);
}

}  // namespace fovea::gallery
