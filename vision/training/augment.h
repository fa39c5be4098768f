// Random changes of a training picture that keep its label.
#pragma once

#include "fovea/vision/image/image.h"
#include "fovea/vision/training/random.h"

namespace fovea {

struct AugmentOptions {
  bool flip = false;  // mirror left and right with probability 1/2
  int64_t shift = 0;  // move by up to so many pixels along each axis, the border reflected (without repeating it)
  double erase = 0;   // probability that a rectangle is filled with one random value: 2 … 25 % of the area, aspect
                      // 0.3 … 3.3. Zhong et al., Random Erasing, 2017, https://arxiv.org/abs/1708.04896
};

// Throws Error(usage) for a negative shift or a probability outside [0,1].
void check(const AugmentOptions& options);

// In place; the same random stream gives the same picture. The shift must be smaller than both sides.
void augment(Image& image, const AugmentOptions& options, Random& random);

}  // namespace fovea
