// The learning rate as a function of the step.
#pragma once

#include <cstdint>

namespace fovea {

struct ScheduleOptions {
  double peak = 0;           // highest rate
  double floor = 0;          // rate at the end
  int64_t warmup_steps = 0;  // steps of the linear rise, at most total_steps
  int64_t total_steps = 0;
};

// Step s counts from 0. s < W: peak·(s+1)/W; then floor + (peak − floor)·(1 + cos(π·(s − W)/(T − W)))/2, and floor from
// step T on.
// Loshchilov and Hutter, SGDR, 2017, https://arxiv.org/abs/1608.03983; Goyal et al. (warm-up), 2017,
// https://arxiv.org/abs/1706.02677
double learning_rate(const ScheduleOptions& options, int64_t step);

}  // namespace fovea
