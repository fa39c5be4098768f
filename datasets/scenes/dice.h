// Random draws that are the same on every machine (the standard's distributions are not).
#pragma once

#include <cstdint>
#include <random>

namespace fovea::scenes {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}

  // 0 … count − 1.
  int64_t below(int64_t count) { return static_cast<int64_t>(unit() * static_cast<double>(count)); }
  // [0,1), of 53 bits.
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * unit(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace fovea::scenes
