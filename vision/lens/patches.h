// A photograph as tokens: a grid of squares, each described by the pixels in and around it.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/vision/image/image.h"

namespace fovea {

struct PatchOptions {
  int64_t stride = 8;  // pixels between tokens; a token's value is the square of that side
  int64_t patch = 8;   // side of the square that is compared, around the token's own; stride plus an even number
  int64_t heads = 1;   // parts of the descriptor, divides 3·patch²
};

// Tokens lie in rows, [rows·columns]. A descriptor has 3·patch² channels, levels of 0…1; past the border the picture is
// mirrored without its last row, as numpy's "reflect". One head sees the pixels; more of them share out the cosine
// transform of the patch in brightness and two colours, coarse before fine. Both bases are orthonormal, so the distance
// of two patches is the same.
class Patches {
 public:
  // image: RGB, sides multiples of the stride; it has to outlive this. Throws Error(usage) for options that do not fit,
  // Error(data) for a picture that is none.
  Patches(const Image& image, const PatchOptions& options);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t count() const { return rows_ * columns_; }
  int64_t width() const { return 3 * options_.patch * options_.patch; }
  int64_t value_width() const { return 3 * options_.stride * options_.stride; }
  const PatchOptions& options() const { return options_; }

  void describe(int64_t token, float* channels) const;  // [width()]
  void value(int64_t token, float* pixels) const;       // [value_width()], by rows, 0…1

  // The part of the variance of all descriptors that each head holds; they sum to 1.
  std::vector<double> shares() const;

 private:
  void to_frequencies(float* channels) const;

  const Image* image_;
  PatchOptions options_;
  int64_t rows_ = 0, columns_ = 0;
  std::vector<int64_t> mirrored_x_, mirrored_y_;  // from −margin on
  std::vector<float> cosines_;                    // [patch,patch]: frequency, place
  std::vector<int64_t> order_;                    // where the channel (v,u,color) goes: coarse before fine
};

}  // namespace fovea
