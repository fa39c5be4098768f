// What training and evaluation read: labelled pictures by index.
#pragma once

#include <cstdint>

#include "fovea/vision/image/image.h"

namespace fovea {

struct Example {
  Image image;        // RGB, any size
  int64_t label = 0;  // 0 … classes − 1
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int64_t classes() const = 0;
  // The same example at every call, from any thread. 0 ≤ index < size().
  virtual Example get(int64_t index) const = 0;
};

}  // namespace fovea
