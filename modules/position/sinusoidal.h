// Sinusoidal places, added to the tokens: fixed, of any length.
#pragma once

#include <ATen/core/Tensor.h>

#include "fovea/modules/module.h"

namespace fovea {

enum class SinusoidLayout {
  interleaved,  // sin, cos, sin, cos, … (the paper)
  halves,       // all sines, then all cosines (tensor2tensor, timm)
};

struct SinusoidOptions {
  SinusoidLayout layout = SinusoidLayout::interleaved;
  double base = 10000;  // ratio of the longest wave to the shortest
  int64_t first = 0;    // the first place
};

// [N,D] with sin(p·ω_i) and cos(p·ω_i), ω_i = base^(−2i/D), for places p = first … first+N−1. PE(p + k) is PE(p) with
// each pair turned by k·ω_i. float32 of values computed in float64. Throws Error(usage) for an odd D. Vaswani et al.,
// Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
at::Tensor sinusoidal_positions(int64_t count, int64_t width, const SinusoidOptions& options = {});

// [h·w,D], the first half of D of the row and the second of the column, each as above. Throws Error(usage) unless 4
// divides D.
// Wang and Liu, Translating Math Formula Images to LaTeX Sequences, 2019, https://arxiv.org/abs/1908.11415
at::Tensor sinusoidal_grid(int64_t height, int64_t width, int64_t channels, const SinusoidOptions& options = {});

// [h·w,D], what a learned table of a small grid may start from in place of noise: half of sinusoidal_grid with waves of
// 2π to 20π places, so that where a token is can be read from the first step on. Errors as there.
at::Tensor sinusoidal_start(int64_t height, int64_t width, int64_t channels);

struct LearnedPositionsOptions {
  int64_t count = 0;  // the most tokens there can be
  int64_t width = 0;  // D
};

// x [B,N,D] + table[first … first+N−1]. Key `weight` [count,D] (GPT-2's wpe, BERT's position_embeddings). A table for
// another number of patches comes from resample_positions. Throws Error(data) for places beyond the table.
class LearnedPositionsImpl : public Module<LearnedPositionsImpl> {
 public:
  explicit LearnedPositionsImpl(const LearnedPositionsOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x, int64_t first = 0);

  LearnedPositionsOptions options;
  at::Tensor weight;
};
FOVEA_MODULE(LearnedPositions);

}  // namespace fovea
