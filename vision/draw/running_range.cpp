#include "fovea/vision/draw/running_range.h"

#include <algorithm>
#include <cmath>

namespace fovea {

std::array<double, 2> ends_of(const Heat& heat) {
  const auto [low, high] = std::minmax_element(heat.values.begin(), heat.values.end());
  return {*low, *high};
}

const std::array<double, 2>& RunningRange::follow(const Heat& heat, double seconds) {
  const std::array<double, 2> now = ends_of(heat);
  if (!ends_) return ends_.emplace(now);
  const double stays = std::exp2(-seconds / half_life_);
  for (size_t end = 0; end < now.size(); ++end) (*ends_)[end] = now[end] + stays * ((*ends_)[end] - now[end]);
  return *ends_;
}

}  // namespace fovea
