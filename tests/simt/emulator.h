// CUDA C++ on the host: a block's threads are fibers that run one at a time, in an order drawn from a seed, until they
// meet in a barrier or a warp operation; blocks run one after another, in an order drawn too.
//
// Faults that end a run with a message: a barrier or warp operation that not all threads reach, threads of a block that
// touch the same shared memory with no barrier between them (one of them writing), shared memory out of bounds or
// misaligned, copies that nobody waits for, a grid or block that hardware refuses. Shared memory begins as signalling
// NaN or as random bytes. Global memory is the heap: buffers of exact size show what is out of bounds to
// AddressSanitizer, for which the switches of stacks are annotated.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct dim3 {
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  unsigned x, y, z;
};

// Of the thread that runs.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline int2 make_int2(int x, int y) {
  return {x, y};
}
inline int4 make_int4(int x, int y, int z, int w) {
  return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline double2 make_double2(double x, double y) {
  return {x, y};
}

namespace simt {

// What hardware would answer with an error, a hang or chance.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The order of threads and blocks in the runs that follow.
void set_seed(uint64_t seed);

// Runs body() in every thread of every block.
void run(dim3 grid, int threads, size_t shared_bytes, const std::function<void()>& body);

// Ends the run from within a thread.
[[noreturn]] void fault(const std::string& text);

void check_alignment(const void* address, size_t bytes);

// --- Meeting points. `operation` names what the threads take part in: they must all name the same.

enum class Memory { ordered, unordered };

void barrier(const char* operation);

// Every lane of the warp hands in an object; when all 32 have, compute(objects by lane) runs once. Memory::ordered:
// what was written before is seen after.
void meet_warp(const char* operation, Memory memory, void* object, const std::function<void(void* const*)>& compute);

// As meet_warp, of the whole block, and a barrier.
void meet_block(const char* operation, void* object, const std::function<void(void* const*, int threads)>& compute);

// --- Shared memory, by byte.

void read_shared(size_t first, size_t bytes, void* to);
void write_shared(size_t first, size_t bytes, const void* from);

// What kernels reach shared memory through; see modules/kernels/cuda/device.h.
template <typename T>
class Shared {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) >= 2);

 public:
  class Reference {
   public:
    explicit Reference(size_t first) : first_(first) {}
    operator T() const {
      T value;
      read_shared(first_, sizeof(T), &value);
      return value;
    }
    const Reference& operator=(const T& value) const {
      write_shared(first_, sizeof(T), &value);
      return *this;
    }
    const Reference& operator=(const Reference& other) const { return *this = static_cast<T>(other); }
    const Reference& operator+=(const T& value) const { return *this = static_cast<T>(*this) + value; }
    const Reference& operator-=(const T& value) const { return *this = static_cast<T>(*this) - value; }
    const Reference& operator*=(const T& value) const { return *this = static_cast<T>(*this) * value; }

   private:
    size_t first_;
  };

  explicit Shared(size_t first_byte) : first_(first_byte) {}

  template <typename I>
  Reference operator[](I i) const {
    return Reference(first_ + static_cast<size_t>(static_cast<ptrdiff_t>(i) * static_cast<ptrdiff_t>(sizeof(T))));
  }
  Shared operator+(ptrdiff_t n) const {
    return Shared(first_ + static_cast<size_t>(n * static_cast<ptrdiff_t>(sizeof(T))));
  }
  template <typename U>
  Shared<U> as() const {
    return Shared<U>(first_);
  }
  size_t address() const { return first_; }

 private:
  size_t first_;
};

// --- Warp operations.

template <typename T>
struct Exchange {
  T value;
  int from;  // lane; out of range: one's own
  T result;
};

template <typename T>
T exchange(const char* operation, unsigned mask, T value, int from);

void check_mask(const char* operation, unsigned mask);
int lane();

template <typename T>
T exchange(const char* operation, unsigned mask, T value, int from) {
  check_mask(operation, mask);
  Exchange<T> mine{value, from < 0 || from > 31 ? lane() : from, value};
  meet_warp(operation, Memory::unordered, &mine, [](void* const* lanes) {
    for (int i = 0; i < 32; ++i) {
      auto& to = *static_cast<Exchange<T>*>(lanes[i]);
      to.result = static_cast<Exchange<T>*>(lanes[to.from])->value;
    }
  });
  return mine.result;
}

unsigned vote(const char* operation, unsigned mask, bool predicate);
int count_block(const char* operation, bool predicate);

}  // namespace simt

inline void __syncthreads() {
  simt::barrier("__syncthreads");
}
inline int __syncthreads_or(int predicate) {
  return simt::count_block("__syncthreads_or", predicate != 0) > 0;
}
inline int __syncthreads_count(int predicate) {
  return simt::count_block("__syncthreads_count", predicate != 0);
}
inline int __syncthreads_and(int predicate) {
  return simt::count_block("__syncthreads_and", predicate == 0) == 0;
}

inline void __syncwarp(unsigned mask = ~0u) {
  simt::check_mask("__syncwarp", mask);
  simt::meet_warp("__syncwarp", simt::Memory::ordered, nullptr, [](void* const*) {});
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return simt::vote("__ballot_sync", mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
  return simt::vote("__any_sync", mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return simt::vote("__all_sync", mask, predicate != 0) == ~0u;
}

// Widths divide the warp in parts that exchange among themselves, as in CUDA.
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int first = simt::lane() / width * width;
  return simt::exchange("__shfl_sync", mask, value, first + (from % width + width) % width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int apart, int width = 32) {
  const int from = simt::lane() ^ apart;
  return simt::exchange("__shfl_xor_sync", mask, value, from / width > simt::lane() / width ? -1 : from);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned apart, int width = 32) {
  const int from = simt::lane() + static_cast<int>(apart);
  return simt::exchange("__shfl_down_sync", mask, value, from / width == simt::lane() / width ? from : -1);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned apart, int width = 32) {
  const int from = simt::lane() - static_cast<int>(apart);
  return simt::exchange("__shfl_up_sync", mask, value, from >= simt::lane() / width * width ? from : -1);
}

// Threads run one at a time: what stands between two meeting points is atomic.
template <typename T, typename U>
T atomicAdd(T* to, U value) {
  const T before = *to;
  *to = before + static_cast<T>(value);
  return before;
}
template <typename T, typename U>
T atomicMax(T* to, U value) {
  const T before = *to;
  if (static_cast<T>(value) > before) *to = static_cast<T>(value);
  return before;
}
inline void __threadfence() {}

template <typename T>
T __ldg(const T* from) {
  return *from;
}
inline int __float_as_int(float x) {
  int bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float rsqrtf(float x) {
  return 1 / std::sqrt(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t(a) * b >> 32);
}
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}

// CUDA has these for every pair of numbers.
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  return static_cast<C>(b) < static_cast<C>(a) ? static_cast<C>(b) : static_cast<C>(a);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  return static_cast<C>(a) < static_cast<C>(b) ? static_cast<C>(b) : static_cast<C>(a);
}
