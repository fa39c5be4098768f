// Class activation maps: which places of a layer's features spoke for a class.
#pragma once

#include <cstdint>

#include "fovea/vision/explain/heat_map.h"

namespace fovea {

// With features F [C,h,w], g = ∂(logit)/∂F and ⟨·⟩ the mean over places:
enum class CamKind {
  // Σ_c ⟨g_c⟩·F_c. Selvaraju et al., Grad-CAM, 2017, https://arxiv.org/abs/1610.02391
  grad_cam,
  // Σ_c w_c·F_c, w_c = Σ α·max(0, g), α = g²/(2g² + g³·Σ F_c + 10⁻⁶), 0 where g = 0.
  // Chattopadhay et al., Grad-CAM++, 2018, https://arxiv.org/abs/1710.11063
  grad_cam_plus_plus,
  // Σ_c max(0, g_c)·F_c. Jiang et al., LayerCAM, 2021, https://doi.org/10.1109/TIP.2021.3089943
  layer_cam,
  // Places along the first principal axis of F (channels centred), its sign such that places of larger features count
  // as warm; asks no gradient and so no class. Muhammad and Yeasin, Eigen-CAM, 2020, https://arxiv.org/abs/2008.00299
  eigen_cam,
};

// → [h,w], negative places at 0. Prefix tokens of [B,N,C] features are dropped.
// Throws Error(usage) when the output carries no gradient and the method needs it, or for an image out of range.
HeatMap class_activation(const LayerOutput& output, CamKind kind, int64_t image = 0);

}  // namespace fovea
