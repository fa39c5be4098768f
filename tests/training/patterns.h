// A small dataset that is made, not read: stripes and noise, whose direction is the class.
#pragma once

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/random.h"

namespace fovea::test {

class Patterns : public Dataset {
 public:
  explicit Patterns(int64_t size, int64_t side = 12, int64_t classes = 4)
      : size_(size), side_(side), classes_(classes) {}

  int64_t size() const override { return size_; }
  int64_t classes() const override { return classes_; }

  Example get(int64_t index) const override {
    Example example;
    example.label = index % classes_;
    Image& image = example.image;
    image.width = image.height = side_;
    image.pixels.resize(static_cast<size_t>(side_ * side_ * 3));
    Random random(17, static_cast<uint64_t>(index));
    for (int64_t y = 0; y < side_; ++y) {
      for (int64_t x = 0; x < side_; ++x) {
        const int64_t along[] = {x, y, x + y, x - y + side_};
        for (int64_t c = 0; c < 3; ++c) {
          image.row(y)[3 * x + c] = static_cast<uint8_t>(along[example.label] / 2 % 2 * 150 + random.below(100));
        }
      }
    }
    return example;
  }

 private:
  int64_t size_, side_, classes_;
};

inline PreprocessOptions patterns_preprocessing(int64_t side = 12) {
  return {.height = side, .width = side, .crop_pct = 1, .mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}};
}

}  // namespace fovea::test
