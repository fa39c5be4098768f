// Which weights dropout leaves out, of the paper's generator; shares no code with the kernels.
#pragma once

#include <cmath>
#include <cstdint>

namespace fovea::kernels::testing {

struct DroppedPlace {
  uint64_t row, column, head;
};

// Philox 4×32-10 as the paper gives it: which of the 4 numbers of a counter (row and column with bit 3 cleared, head,
// offset) belongs to a weight.
inline uint32_t drawn(const DroppedPlace& at, uint64_t offset, uint64_t seed) {
  uint64_t c[4] = {at.row & ~8ull, at.column & ~8ull, at.head, offset & 0xffffffff};
  uint64_t k0 = seed & 0xffffffff, k1 = (seed >> 32) ^ (offset >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t m0 = 0xD2511F53ull * c[0], m1 = 0xCD9E8D57ull * c[2];
    const uint64_t next[4] = {(m1 >> 32) ^ c[1] ^ k0, m1 & 0xffffffff, (m0 >> 32) ^ c[3] ^ k1, m0 & 0xffffffff};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    k0 = (k0 + 0x9E3779B9ull) & 0xffffffff;
    k1 = (k1 + 0xBB67AE85ull) & 0xffffffff;
  }
  return static_cast<uint32_t>(c[((at.row & 8) != 0 ? 2 : 0) + ((at.column & 8) != 0 ? 1 : 0)]);
}

// The factor of a weight: 0 or 1/(1 − p).
inline double kept(double dropout, const DroppedPlace& at, uint64_t offset, uint64_t seed) {
  if (dropout == 0) return 1;
  return drawn(at, offset, seed) < std::floor(dropout * 4294967296.0) ? 0 : 1 / (1 - dropout);
}

}  // namespace fovea::kernels::testing
