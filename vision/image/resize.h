// Resampling of 8-bit pictures, bit for bit as Pillow's Image.resize does it.
//
// Separable filters whose support grows with the reduction (so that they antialias), normalised in double, rounded to
// fixed point with 22 bits; a horizontal and a vertical pass, the first rounded to 8 bits, in the order of Pillow 13
// (up to version 12 the horizontal one was always first, which changes single levels of pictures whose height shrinks
// far more than their width). bicubic has a = −0.5. nearest takes the pixel under the centre. After Pillow's
// src/libImaging/Resample.c and Geometry.c (MIT-CMU licence), https://github.com/python-pillow/Pillow
#pragma once

#include <cstdint>

#include "fovea/vision/image/image.h"

namespace fovea {

enum class Interpolation { nearest, bilinear, bicubic };

// A rectangle in pixels.
struct Region {
  int64_t left = 0;
  int64_t top = 0;
  int64_t width = 0;
  int64_t height = 0;
};

// image [height,width,channels] → [new height,new width,channels]. Throws Error(data) for an empty image or size.
Image resize(const Image& image, int64_t width, int64_t height, Interpolation interpolation);

// The part `region` of that result, at the cost of this part alone. region lies inside width × height.
Image resize_region(const Image& image, int64_t width, int64_t height, Interpolation interpolation,
                    const Region& region);

}  // namespace fovea
