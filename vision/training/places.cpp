#include "fovea/vision/training/places.h"

#include <ATen/ATen.h>

namespace fovea {

at::Tensor covered_places(const std::vector<Thing>& things, const Rectangle& seen, const TokenGrid& grid) {
  auto covered = at::zeros({std::ssize(things), grid.height * grid.width}, at::kBool);
  bool* mark = covered.mutable_data_ptr<bool>();
  // Of a place, in pixels of the picture.
  const double width = seen.width / static_cast<double>(grid.width);
  const double height = seen.height / static_cast<double>(grid.height);
  for (const Thing& thing : things) {
    const double half_width = 0.5 * static_cast<double>(thing.box.width);
    const double half_height = 0.5 * static_cast<double>(thing.box.height);
    const double x = static_cast<double>(thing.box.left) + half_width - seen.left;
    const double y = static_cast<double>(thing.box.top) + half_height - seen.top;
    for (int64_t row = 0; row < grid.height; ++row) {
      for (int64_t column = 0; column < grid.width; ++column) {
        const double right = (static_cast<double>(column) + 0.5) * width - x;
        const double down = (static_cast<double>(row) + 0.5) * height - y;
        const double across = right / half_width, along = down / half_height;
        const bool centred = std::abs(right) <= 0.5 * width && std::abs(down) <= 0.5 * height;
        *mark++ = centred || across * across + along * along <= 1;
      }
    }
  }
  return covered;
}

at::Tensor place_labels(const std::vector<Thing>& things, const Rectangle& seen, const TokenGrid& grid) {
  auto labels = at::full({grid.height * grid.width}, -100, at::kLong);
  const auto covered = covered_places(things, seen, grid);
  for (size_t i = 0; i < things.size(); ++i) {
    labels.masked_fill_(covered[static_cast<int64_t>(i)], things[i].label);
  }
  return labels;
}

}  // namespace fovea
