#include <simt/emulator.h>
#include <simt/instructions.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace simt {
namespace {

constexpr int kLanes = 32;

uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// What a lane hands in to a product, and what it gets back in c.
struct Fragments {
  float* c;
  const uint32_t* a;
  const uint32_t* b;
};

// c += a·b of matrices 16×K and K×8 gathered from the lanes; sums in float32, in the order of k.
template <int K>
void add_product(void* const* lanes, const float (&a)[16][K], const float (&b)[K][8]) {
  for (int lane = 0; lane < kLanes; ++lane) {
    float* c = static_cast<Fragments*>(lanes[lane])->c;
    const int group = lane / 4, place = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = group + i / 2 * 8, column = 2 * place + i % 2;
      for (int k = 0; k < K; ++k) c[i] = std::fma(a[row][k], b[k][column], c[i]);
    }
  }
}

template <float (*Widen)(uint16_t)>
void multiply_16x8x16(void* const* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& mine = *static_cast<const Fragments*>(lanes[lane]);
    const int group = lane / 4, place = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) {
        a[group + i % 2 * 8][2 * place + half + i / 2 * 8] = Widen(static_cast<uint16_t>(mine.a[i] >> 16 * half));
      }
      for (int i = 0; i < 2; ++i) {
        b[2 * place + half + i * 8][group] = Widen(static_cast<uint16_t>(mine.b[i] >> 16 * half));
      }
    }
  }
  add_product(lanes, a, b);
}

void multiply_16x8x8(void* const* lanes) {
  const auto tf32 = [](uint32_t bits) { return float_of(bits & ~0x1fffu); };  // the rest of the fraction is not read
  float a[16][8], b[8][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& mine = *static_cast<const Fragments*>(lanes[lane]);
    const int group = lane / 4, place = lane % 4;
    for (int i = 0; i < 4; ++i) a[group + i % 2 * 8][place + i / 2 * 4] = tf32(mine.a[i]);
    for (int i = 0; i < 2; ++i) b[place + i * 4][group] = tf32(mine.b[i]);
  }
  add_product(lanes, a, b);
}

const std::vector<float>& float16_table() {
  static const auto table = [] {
    std::vector<float> all(1 << 16);
    for (uint32_t bits = 0; bits < all.size(); ++bits) {
      const uint32_t sign = bits >> 15, exponent = bits >> 10 & 31, fraction = bits & 1023;
      float x = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                              : std::ldexp(static_cast<float>(fraction + 1024), static_cast<int>(exponent) - 25);
      if (exponent == 31) x = float_of(0x7f800000 | fraction << 13);
      all[bits] = float_of(bits_of(x) | sign << 31);
    }
    return all;
  }();
  return table;
}

}  // namespace

void check_mask(const char* operation, unsigned mask) {
  if (mask != ~0u) fault(std::string(operation) + " of a part of the warp");
}

int lane() {
  return static_cast<int>(threadIdx.x) % kLanes;
}

unsigned vote(const char* operation, unsigned mask, bool predicate) {
  struct Vote {
    bool mine;
    unsigned all;
  } vote{predicate, 0};
  check_mask(operation, mask);
  meet_warp(operation, Memory::unordered, &vote, [](void* const* lanes) {
    unsigned all = 0;
    for (int i = 0; i < kLanes; ++i) all |= unsigned{static_cast<Vote*>(lanes[i])->mine} << i;
    for (int i = 0; i < kLanes; ++i) static_cast<Vote*>(lanes[i])->all = all;
  });
  return vote.all;
}

int count_block(const char* operation, bool predicate) {
  struct Count {
    bool mine;
    int all;
  } count{predicate, 0};
  meet_block(operation, &count, [](void* const* threads, int number) {
    int all = 0;
    for (int i = 0; i < number; ++i) all += static_cast<Count*>(threads[i])->mine;
    for (int i = 0; i < number; ++i) static_cast<Count*>(threads[i])->all = all;
  });
  return count.all;
}

float from_bfloat16(uint16_t bits) {
  return float_of(static_cast<uint32_t>(bits) << 16);
}

uint16_t to_bfloat16(float x) {
  if (std::isnan(x)) return 0x7fff;
  const uint32_t bits = bits_of(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_float16(uint16_t bits) {
  static const float* table = float16_table().data();
  return table[bits];
}

uint16_t to_float16(float x) {
  if (std::isnan(x)) return 0x7fff;
  const auto sign = static_cast<uint16_t>(bits_of(x) >> 31 << 15);
  const float size = std::fabs(x);
  if (size >= 65520) return sign | 0x7c00;
  int exponent = -14;  // of the last normal number; below, steps stay as wide
  if (size >= 0x1p-14f) exponent = std::ilogb(size);
  const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));  // 1024…2048, or less
  return static_cast<uint16_t>(sign + (static_cast<uint32_t>(exponent + 14) << 10) + steps);
}

uint32_t to_tf32(float x) {
  if (!std::isfinite(x)) return bits_of(x);
  return (bits_of(x) + 0x1000) & ~0x1fffu;  // ties away from zero
}

float exp2(float x) {
  return std::exp2(x);
}

void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], float (*widen)(uint16_t)) {
  Fragments mine{c, a, b};
  if (widen == from_bfloat16) {
    meet_warp("mma bf16", Memory::unordered, &mine, multiply_16x8x16<from_bfloat16>);
  } else {
    meet_warp("mma f16", Memory::unordered, &mine, multiply_16x8x16<from_float16>);
  }
}

void mma_16x8x8(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Fragments mine{c, a, b};
  meet_warp("mma tf32", Memory::unordered, &mine, multiply_16x8x8);
}

void load_matrices(uint32_t* to, size_t row, int count, bool transposed) {
  struct Rows {
    size_t mine;
    size_t all[kLanes];
  } rows{row, {}};
  meet_warp(count == 4 ? "ldmatrix x4" : "ldmatrix x2", Memory::unordered, &rows, [](void* const* lanes) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < kLanes; ++j) static_cast<Rows*>(lanes[i])->all[j] = static_cast<Rows*>(lanes[j])->mine;
    }
  });
  if (lane() < 8 * count && row % 16 != 0) fault("ldmatrix: a row is not aligned to 16 bytes");
  const int group = lane() / 4, place = lane() % 4;
  for (int i = 0; i < count; ++i) {
    uint16_t pair[2];
    for (int half = 0; half < 2; ++half) {
      const int r = transposed ? 2 * place + half : group, column = transposed ? group : 2 * place + half;
      read_shared(rows.all[8 * i + r] + 2 * static_cast<size_t>(column), 2, &pair[half]);
    }
    to[i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

}  // namespace simt
