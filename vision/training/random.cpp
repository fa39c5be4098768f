#include "fovea/vision/training/random.h"

#include <numeric>
#include <utility>

namespace fovea {
namespace {

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

constexpr uint64_t golden = 0x9E3779B97F4A7C15;

}  // namespace

Random::Random(uint64_t key, uint64_t stream) : state_(mix(mix(key + golden) + (stream + 1) * golden)) {}

uint64_t Random::next() {
  return mix(state_ += golden);
}

int64_t Random::below(int64_t bound) {
  // The high half of a 128-bit product; its bias is below bound/2^64.
  return static_cast<int64_t>((static_cast<unsigned __int128>(next()) * static_cast<uint64_t>(bound)) >> 64);
}

double Random::uniform() {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

std::vector<int64_t> permutation(int64_t size, Random& random) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  return order;
}

}  // namespace fovea
