#include "fovea/vision/training/schedule.h"

#include <cmath>
#include <numbers>

namespace fovea {

double learning_rate(const ScheduleOptions& options, int64_t step) {
  const int64_t warmup = options.warmup_steps;
  if (step < warmup) return options.peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (step >= options.total_steps) return options.floor;
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(options.total_steps - warmup);
  return options.floor + (options.peak - options.floor) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

}  // namespace fovea
