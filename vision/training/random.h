// Random numbers that are a function of their keys alone, so that a resumed run needs no generator state.
#pragma once

#include <cstdint>
#include <vector>

namespace fovea {

// SplitMix64: a counter and a mixing function, the same numbers on every platform.
// Steele et al., Fast Splittable Pseudorandom Number Generators, 2014, https://doi.org/10.1145/2660193.2660195
class Random {
 public:
  // One stream for each pair of keys, for example (seed, epoch).
  explicit Random(uint64_t key, uint64_t stream = 0);

  uint64_t next();
  int64_t below(int64_t bound);  // 0 … bound − 1, bound > 0
  double uniform();              // [0, 1)

 private:
  uint64_t state_;
};

// The numbers 0 … size − 1 in random order (Fisher and Yates).
std::vector<int64_t> permutation(int64_t size, Random& random);

}  // namespace fovea
