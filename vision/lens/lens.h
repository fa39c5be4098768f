// Attention on a photograph without any weights: queries and keys are patches, values are pixels.
//
//   weight(i,j) = softmax over j of −distance(i,j) / temperature,   distance = mean squared difference of two patches
//   output(i)   = Σ_j weight(i,j) · pixels(j)
//
// A token for each pixel and a window is the non-local means of Buades, Coll and Morel, A Non-Local Algorithm for Image
// Denoising, 2005, https://doi.org/10.1109/CVPR.2005.38, with h² for the temperature. Keys and values of another
// picture repaint the one from the other: cross-attention. No LibTorch: the CPU kernel computes
// −‖q − k‖² = 2 q·k − ‖k‖² − ‖q‖² as a dot product of one more channel, without ‖q‖², which softmax does not see.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "fovea/vision/image/image.h"
#include "fovea/vision/lens/patches.h"

namespace fovea {

struct LensOptions {
  PatchOptions patches = {};
  double temperature = 0.01;           // in squared levels of 0…1; above 0. Small looks at the most alike alone
  std::optional<int64_t> window = {};  // tokens that are seen to each side of the own place, (2·window + 1)² of them;
                                       // all of the picture unless given
  bool plain = false;                  // by the formula in double, many times slower; what chips without AVX2 do
  int64_t threads = 0;                 // 0: as many as there are cores
  // Called between parts of the work, from one thread at a time; false ends it early, with some pixels black.
  std::function<bool(int64_t done, int64_t total)> progress = {};
};

// RGB, 0…1, rows without padding.
struct Levels {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<float> values;

  Image rounded() const;  // to 8 bits
};

// Where one token looks: the weights of token `query` of `looking` on all tokens of `seen`, [heads, tokens of seen];
// each head sums to 1. With several heads the distance of each is divided by its share of the variance of `seen`, so
// that all of them range alike. Throws Error(usage) for a query that is none, a temperature that is not above 0, and a
// window where the two pictures differ in their grids.
std::vector<double> look(const Image& looking, const Image& seen, int64_t query, const LensOptions& options);

// What attention makes of `looking`: each token's square becomes the weighted mean of the squares of `seen`, the mean
// over heads. Throws as look().
Levels repaint(const Image& looking, const Image& seen, const LensOptions& options);

// The standard deviation of the noise of a photograph, in levels of 0…1, from the mean size of a second difference
// that leaves edges out. Texture counts as noise.
// Immerkær, Fast Noise Variance Estimation, 1996, https://doi.org/10.1006/cviu.1996.0060
double noise_level(const Image& image);

// A token for each pixel, patches of 5×5, a window of 21×21; the temperature from the noise.
LensOptions denoise_options(double noise);

}  // namespace fovea
