// The ends of a colour scale for maps that come one after another and cannot be seen twice, as those of a camera.
#pragma once

#include <array>
#include <optional>

#include "fovea/vision/draw/heat.h"

namespace fovea {

// Each end follows the least and the greatest value of the maps: after half_life seconds it has come half of the way.
class RunningRange {
 public:
  explicit RunningRange(double half_life) : half_life_(half_life) {}

  // `seconds` since the map before; the first map's own ends begin.
  const std::array<double, 2>& follow(const Heat& heat, double seconds);

 private:
  double half_life_;
  std::optional<std::array<double, 2>> ends_;
};

// The least and the greatest value.
std::array<double, 2> ends_of(const Heat& heat);

}  // namespace fovea
