// The emulator itself: that it computes what hardware does, and that it sees what hardware would not forgive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "fovea/modules/kernels/cuda/ptx.h"

namespace fovea::kernels::cuda {
namespace {

using ::testing::HasSubstr;

template <typename F>
std::string fault_of(F f) {
  try {
    f();
  } catch (const simt::Fault& fault) {
    return fault.what();
  }
  return "none";
}

// --- Three kernels that are broken on purpose, each beside its mend.

// out[i] = in[threads − 1 − i], through shared memory.
template <bool Barrier>
__global__ void reverse(const float* in, float* out) {
  const Shared<float> tile(0);
  tile[threadIdx.x] = in[threadIdx.x];
  if constexpr (Barrier) __syncthreads();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST(Broken, AMissingBarrierIsARace) {
  const std::vector<float> in(128, 1);
  std::vector<float> out(128);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    simt::set_seed(seed);
    EXPECT_EQ(fault_of([&] { launch(reverse<true>, 1, 128, 128 * sizeof(float), nullptr, in.data(), out.data()); }),
              "none");
    EXPECT_THAT(fault_of([&] { launch(reverse<false>, 1, 128, 128 * sizeof(float), nullptr, in.data(), out.data()); }),
                HasSubstr("race"));
  }
}

// out = Σ in[first … first + count − 1] for each block, with one number too many.
template <bool TooFar>
__global__ void add_up(const float* in, int count, float* out) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); TooFar ? i <= count : i < count; i += kWarp) sum += in[i];
  sum = warp_sum(sum);
  if (threadIdx.x == 0) *out = sum;
}

TEST(BrokenDeathTest, AnIndexOffByOneIsOutOfBounds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto in = std::make_unique<float[]>(64);
  float out = 0;
  launch(add_up<false>, 1, kWarp, 0, nullptr, in.get(), 64, &out);
  EXPECT_EQ(out, 0);
  EXPECT_DEATH(launch(add_up<true>, 1, kWarp, 0, nullptr, in.get(), 64, &out), "heap-buffer-overflow");
}

// The softmax of `count` scores that a tile of 64 holds; places beyond are never written.
template <bool WrongEdge>
__global__ void soften(const float* in, int count, float* out) {
  const Shared<float> tile(0);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kWarp) tile[i] = in[i];
  __syncwarp();
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < 64; i += kWarp) {
    const bool seen = WrongEdge ? i <= count : i < count;
    const float score = tile[i];
    sum += seen ? exp2_fast(score) : 0;
  }
  sum = warp_sum(sum);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kWarp) out[i] = exp2_fast(tile[i]) / sum;
}

TEST(Broken, AWrongMaskEdgeShowsWhatWasNeverWritten) {
  for (const int count : {1, 31, 33, 63}) {
    const std::vector<float> in(static_cast<size_t>(count), 1);
    std::vector<float> out(in.size());
    const auto is_right = [&] {
      for (const float weight : out) {
        if (!(std::fabs(weight * static_cast<float>(count) - 1) < 1e-5f)) return false;
      }
      return true;
    };
    int caught = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      simt::set_seed(seed);
      launch(soften<false>, 1, kWarp, 64 * sizeof(float), nullptr, in.data(), count, out.data());
      ASSERT_TRUE(is_right()) << count;
      launch(soften<true>, 1, kWarp, 64 * sizeof(float), nullptr, in.data(), count, out.data());
      caught += !is_right();
    }
    EXPECT_GT(caught, 15) << count;
  }
}

// --- Other faults.

__global__ void half_at_barrier() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void different_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads_or(1);
}
__global__ void half_a_warp() {
  if (threadIdx.x < 16) __syncwarp();
}
__global__ void part_of_a_mask() {
  __syncwarp(0xffff);
}
__global__ void different_operations() {
  if (threadIdx.x < 16)
    __syncwarp();
  else
    __any_sync(kAllLanes, 1);
}
__global__ void far_shared() {
  Shared<float>(0)[64] = 1;
}
__global__ void below_shared() {
  Shared<float>(0)[-1] = 1;
}
__global__ void crooked_shared() {
  Shared<float>(2)[0] = 1;
}
__global__ void crooked_vector(const float* in) {
  load_vector<float4>(in + 1);
}
__global__ void forgotten_copy(const float* in) {
  copy_async<16>(Shared<float>(0), in);
  commit_copies();
}
// A lane reads what its neighbour wrote, with nothing but a shuffle between.
__global__ void shuffle_for_barrier(float* out) {
  const Shared<float> tile(0);
  tile[threadIdx.x] = 1;
  __shfl_sync(kAllLanes, 1, 0);
  out[threadIdx.x] = tile[threadIdx.x ^ 1];
}
// A tile is filled again while others may still read it.
__global__ void reused_tile(float* out) {
  const Shared<float> tile(0);
  for (int i = 0; i < 2; ++i) {
    tile[threadIdx.x] = static_cast<float>(i);
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 32];
  }
}

TEST(Emulator, FaultsAreNamed) {
  alignas(16) float numbers[64] = {};
  const auto fault = [&](auto kernel, auto... arguments) {
    return fault_of([&] { launch(kernel, 1, 64, 256, nullptr, arguments...); });
  };
  EXPECT_THAT(fault(half_at_barrier), HasSubstr("nobody can go on: 0-31 wait in __syncthreads 32-63 ended"));
  EXPECT_THAT(fault(different_barriers), HasSubstr("different barriers"));
  EXPECT_THAT(fault(half_a_warp), HasSubstr("nobody can go on"));
  EXPECT_THAT(fault(part_of_a_mask), HasSubstr("part of the warp"));
  EXPECT_THAT(fault(different_operations), HasSubstr("different operations"));
  EXPECT_THAT(fault(far_shared), HasSubstr("4 bytes at 256 of shared memory are out of bounds"));
  EXPECT_THAT(fault(below_shared), HasSubstr("4 bytes at -4 of shared memory are out of bounds"));
  EXPECT_THAT(fault(crooked_shared), HasSubstr("misaligned"));
  EXPECT_THAT(fault(crooked_vector, numbers), HasSubstr("misaligned"));
  EXPECT_THAT(fault(forgotten_copy, numbers), HasSubstr("ends before its copies"));
  EXPECT_THAT(fault(shuffle_for_barrier, numbers), HasSubstr("race"));
  EXPECT_THAT(fault(reused_tile, numbers), HasSubstr("race"));
  EXPECT_EQ(fault(add_up<false>, numbers, 64, numbers), "none");  // and a run after all these is sound
}

__global__ void nothing() {}

TEST(Emulator, LaunchesThatHardwareRefuses) {
  EXPECT_THAT(fault_of([] { launch(nothing, dim3(1, 65536), 32, 0, nullptr); }), HasSubstr("more blocks"));
  EXPECT_THAT(fault_of([] { launch(nothing, 0, 32, 0, nullptr); }), HasSubstr("empty"));
  EXPECT_THAT(fault_of([] { launch(nothing, 1, 40, 0, nullptr); }), HasSubstr("multiple of 32"));
  EXPECT_THAT(fault_of([] { launch(nothing, 1, 2048, 0, nullptr); }), HasSubstr("up to 1024"));
  EXPECT_THAT(fault_of([] { launch(nothing, 1, 32, 200'000, nullptr); }), HasSubstr("shared"));
  EXPECT_EQ(launch(nothing, int64_t{1} << 31, 32, 0, nullptr), kTooManyBlocks);
}

// --- What it computes.

__global__ void count_blocks(int* counts) {
  const int block = static_cast<int>((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
  atomicAdd(&counts[block], 1);
}

TEST(Emulator, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> counts(3 * 4 * 5);
  launch(count_blocks, dim3(3, 4, 5), 96, 0, nullptr, counts.data());
  EXPECT_THAT(counts, ::testing::Each(96));
}

__global__ void exchange(int* out) {
  const int lane = lane_index(), i = static_cast<int>(threadIdx.x);
  int* mine = out + i * 8;
  mine[0] = __shfl_sync(kAllLanes, lane, 5);
  mine[1] = __shfl_xor_sync(kAllLanes, lane, 3);
  mine[2] = __shfl_down_sync(kAllLanes, lane, 2);
  mine[3] = __shfl_up_sync(kAllLanes, lane, 2);
  mine[4] = __shfl_sync(kAllLanes, lane, 1, 4);
  mine[5] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  mine[6] = 2 * __any_sync(kAllLanes, lane == 7) + __all_sync(kAllLanes, lane != 7);
  mine[7] = __syncthreads_count(i == 40) + 10 * __syncthreads_or(i == 3) + 100 * __syncthreads_and(i != 3);
}

TEST(Emulator, WarpOperations) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    simt::set_seed(seed);
    std::vector<int> out(64 * 8);
    launch(exchange, 1, 64, 0, nullptr, out.data());
    unsigned thirds = 0;
    for (int lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
    for (int i = 0; i < 64; ++i) {
      const int lane = i % 32;
      const std::vector<int> got(out.begin() + i * 8, out.begin() + i * 8 + 8);
      EXPECT_THAT(got, ::testing::ElementsAre(5, lane ^ 3, lane < 30 ? lane + 2 : lane, lane > 1 ? lane - 2 : lane,
                                              lane / 4 * 4 + 1, static_cast<int>(thirds), 2, 11));
    }
  }
}

__global__ void first_word(unsigned* out) {
  out[threadIdx.x] = Shared<unsigned>(0)[threadIdx.x];
}

TEST(Emulator, SharedMemoryBeginsAsNaNOrNoise) {
  std::vector<unsigned> out(32);
  int nan = 0, noise = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    simt::set_seed(seed);
    launch(first_word, 1, 32, 128, nullptr, out.data());
    const bool same = std::all_of(out.begin(), out.end(), [](unsigned word) { return word == 0x7fa17fa1; });
    (same ? nan : noise) += 1;
  }
  EXPECT_GT(nan, 0);
  EXPECT_GT(noise, 0);
  EXPECT_TRUE(std::isnan(widen(BFloat16{0x7fa1})) && std::isnan(widen(Float16{0x7fa1})));
}

__global__ void copy_late(const float* in, float* early, float* late) {
  const Shared<float> tile(0);
  const int i = static_cast<int>(threadIdx.x);
  copy_async<16>(tile + 4 * i, in + 4 * i, i == 31 ? 8 : 16);
  commit_copies();
  early[i] = tile[4 * i];
  wait_for_copies<0>();
  __syncwarp();
  for (int k = 0; k < 4; ++k) late[i + 32 * k] = tile[i + 32 * k];
}

TEST(Emulator, CopiesAreThereWhenWaitedFor) {
  alignas(16) float in[126], early[32], late[128];  // two numbers short of what the last copy would take whole
  for (int i = 0; i < 126; ++i) in[i] = static_cast<float>(i);
  launch(copy_late, 1, 32, 512, nullptr, in, early, late);
  for (const float x : early) EXPECT_TRUE(std::isnan(x));
  for (int i = 0; i < 128; ++i) EXPECT_EQ(late[i], i < 126 ? static_cast<float>(i) : 0);
}

TEST(Emulator, NumbersOfSixteenBits) {
  for (uint32_t bits = 0; bits < 1 << 16; ++bits) {
    const Float16 half{static_cast<uint16_t>(bits)};
    _Float16 own;
    memcpy(&own, &bits, 2);
    const float wide = static_cast<float>(own);
    ASSERT_TRUE(widen(half) == wide || (std::isnan(wide) && std::isnan(widen(half)))) << bits;
    if (!std::isnan(wide)) {
      ASSERT_EQ(narrowed<Float16>(wide).bits, bits);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const uint32_t bits = random();
    float x;
    memcpy(&x, &bits, 4);
    if (i % 2 == 0) x = std::ldexp(x, -std::ilogb(x) + static_cast<int>(random() % 44) - 26);  // where float16 lives
    const auto own = static_cast<_Float16>(x);
    uint16_t expected;
    memcpy(&expected, &own, 2);
    if (!std::isnan(x)) {
      ASSERT_EQ(narrowed<Float16>(x).bits, expected) << x;
    }
    if (std::isfinite(x)) {
      const float near = widen(narrowed<BFloat16>(x));
      ASSERT_TRUE(std::isinf(near) || std::fabs(near - x) <= std::max(std::fabs(std::ldexp(x, -8)), 0x1p-134f)) << x;
    }
  }
  EXPECT_TRUE(std::isnan(widen(narrowed<BFloat16>(NAN))) && std::isnan(widen(narrowed<Float16>(NAN))));
  EXPECT_EQ(pack<Float16>(1, -2), 0xc0003c00u);
  EXPECT_EQ(unpack<BFloat16>(pack<BFloat16>(1, -2)).y, -2);
}

// One product of a warp; a and b are read with load_matrices from rows of shared memory, b once by rows of k
// (transposed) and once by rows of n.
template <typename S>
__global__ void multiply(const S* a, const S* b, bool transposed, float* c) {
  const Shared<S> left(0), right(16 * 16 * 2);
  const int lane = lane_index();
  for (int i = lane; i < 256; i += kWarp) left[i] = a[i];
  for (int i = lane; i < 128; i += kWarp) right[i] = b[i];
  __syncwarp();
  uint32_t of_a[4], of_b[2];
  load_matrices<false>(of_a, left + (lane % 16 * 16 + lane / 16 * 8));
  if (transposed) {
    load_matrices<true>(of_b, right + lane % 16 * 8);  // [16,8]
  } else {
    load_matrices<false>(of_b, right + (lane % 8 * 16 + lane / 8 % 2 * 8));  // [8,16]
  }
  float sums[4] = {1, 1, 1, 1};
  mma_16x8x16<S>(sums, of_a, of_b);
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

template <typename S>
void check_product() {
  std::mt19937 random(3);
  std::vector<S> a(256), b(128), other(128);
  for (auto& x : a) narrow(static_cast<float>(static_cast<int>(random() % 17) - 8), x);
  for (auto& x : b) narrow(static_cast<float>(static_cast<int>(random() % 17) - 8), x);
  for (int k = 0; k < 16; ++k) {
    for (int n = 0; n < 8; ++n) other[n * 16 + k] = b[k * 8 + n];
  }
  for (const bool transposed : {true, false}) {
    std::vector<float> c(128);
    launch(multiply<S>, 1, kWarp, 768, nullptr, a.data(), transposed ? b.data() : other.data(), transposed, c.data());
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 8; ++n) {
        float sum = 1;
        for (int k = 0; k < 16; ++k) sum += widen(a[m * 16 + k]) * widen(b[k * 8 + n]);
        EXPECT_EQ(c[m * 8 + n], sum) << m << "," << n;
      }
    }
  }
}

TEST(Emulator, ProductsOfFragments) {
  check_product<BFloat16>();
  check_product<Float16>();
}

__global__ void multiply_tf32(const float* a, const float* b, float* c) {
  const int group = lane_index() / 4, place = lane_index() % 4;
  const uint32_t of_a[4] = {to_tf32(a[group * 8 + place]), to_tf32(a[(group + 8) * 8 + place]),
                            to_tf32(a[group * 8 + place + 4]), to_tf32(a[(group + 8) * 8 + place + 4])};
  const uint32_t of_b[2] = {to_tf32(b[place * 8 + group]), to_tf32(b[(place + 4) * 8 + group])};
  float sums[4] = {};
  mma_16x8x8(sums, of_a, of_b);
  for (int i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + place * 2 + i % 2] = sums[i];
}

TEST(Emulator, ProductsOfTf32) {
  std::vector<float> a(128), b(64), c(128);
  std::mt19937 random(4);
  for (auto& x : a) x = static_cast<float>(static_cast<int>(random() % 2001) - 1000);
  for (auto& x : b) x = static_cast<float>(static_cast<int>(random() % 2001) - 1000);
  launch(multiply_tf32, 1, kWarp, 0, nullptr, a.data(), b.data(), c.data());
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      float sum = 0;
      for (int k = 0; k < 8; ++k) sum += a[m * 8 + k] * b[k * 8 + n];
      EXPECT_EQ(c[m * 8 + n], sum);
    }
  }
  EXPECT_EQ(to_tf32(1 + 0x1p-11f), to_tf32(1 + 0x1p-10f));  // ties away from zero
}

}  // namespace
}  // namespace fovea::kernels::cuda
