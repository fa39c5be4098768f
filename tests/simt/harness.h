// Cases of CUDA kernels, written once: under the emulator each is a test of GoogleTest (main_simt.cpp), on a GPU a
// plain program runs them (tests/gpu/main_cases.cu). Nothing here needs more than this repository.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "fovea/modules/kernels/cuda/status.h"
#include "fovea/modules/kernels/number.h"

namespace fovea::kernels::testing {

// --- Device memory: the heap with exact sizes, or a GPU's.

void* allocate(size_t bytes);  // begins as bytes 0xa1
void release(void* memory);
void copy_to_device(void* to, const void* from, size_t bytes);
void copy_from_device(void* to, const void* from, size_t bytes);
void wait_for_device();  // throws what went wrong there

// The order of threads from now on, where there is a choice.
void shuffle_threads(uint64_t seed);

// --- Cases.

struct Case {
  std::string suite, name;
  std::function<void()> run;
};

std::vector<Case>& cases();

struct Registration {
  Registration(const char* suite, const char* name, void (*run)()) { cases().push_back({suite, name, run}); }
};

#define FOVEA_CASE(suite, name)                                                                                  \
  static void suite##_##name();                                                                                  \
  static const ::fovea::kernels::testing::Registration register_##suite##_##name(#suite, #name, suite##_##name); \
  static void suite##_##name()

inline void expect(bool holds, const std::string& text) {
  if (!holds) throw std::runtime_error(text);
}

// How many seeded cases to draw; FOVEA_CASES asks for more than `usual`.
uint64_t case_count(uint64_t usual);

inline void start_only(cuda::Status status) {
  expect(status == nullptr, status == nullptr ? "" : std::string("not started: ") + status);
}

inline void start(cuda::Status status) {
  start_only(status);
  wait_for_device();
}

// --- Numbers.

inline size_t bytes_of(Number type) {
  return type == Number::float64 ? 8 : type == Number::float32 ? 4 : 2;
}

inline const char* name_of(Number type) {
  return type == Number::float64    ? "float64"
         : type == Number::float32  ? "float32"
         : type == Number::bfloat16 ? "bfloat16"
                                    : "float16";
}

inline double read_number(Number type, const void* from) {
  if (type == Number::float64) {
    double x;
    memcpy(&x, from, sizeof x);
    return x;
  }
  if (type == Number::float16) {
    _Float16 x;
    memcpy(&x, from, sizeof x);
    return static_cast<double>(x);
  }
  uint32_t bits = 0;
  if (type == Number::float32) {
    memcpy(&bits, from, 4);
  } else {
    uint16_t high;
    memcpy(&high, from, 2);
    bits = static_cast<uint32_t>(high) << 16;
  }
  float x;
  memcpy(&x, &bits, sizeof x);
  return static_cast<double>(x);
}

inline void write_number(Number type, double x, void* to) {
  const auto single = static_cast<float>(x);
  if (type == Number::float64) memcpy(to, &x, 8);
  if (type == Number::float32) memcpy(to, &single, 4);
  if (type == Number::float16) {
    const auto half = static_cast<_Float16>(single);
    memcpy(to, &half, 2);
  }
  if (type == Number::bfloat16) {
    uint32_t bits;
    memcpy(&bits, &single, 4);
    const auto half =
        std::isnan(single) ? uint16_t{0x7fff} : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    memcpy(to, &half, 2);
  }
}

inline double rounded(Number type, double x) {
  unsigned char bytes[8];
  write_number(type, x, bytes);
  return read_number(type, bytes);
}

// Relative to the largest of a result, for sums of `width` products.
inline double error_floor(Number type, double top, double width) {
  const double unit = type == Number::bfloat16 ? 4e-3 : type == Number::float16 ? 1e-3 : 1e-6;
  return unit * std::max(top, 1.0) * std::sqrt(std::max(width, 1.0));
}

// --- Arrays on the device, with what they hold as float64. Memory ends where the last number does.

class Array {
 public:
  Array() = default;
  Array(Number type, std::vector<double> values, int64_t offset = 0)
      : type_(type), size_(values.size()), offset_(offset) {
    std::vector<unsigned char> bytes(byte_count());
    for (size_t i = 0; i < size_; ++i) {
      unsigned char* to = bytes.data() + (i + offset_) * bytes_of(type_);
      write_number(type_, values[i], to);
      values[i] = read_number(type_, to);
    }
    memory_ = allocate(bytes.size());
    copy_to_device(memory_, bytes.data(), bytes.size());
    values_ = std::move(values);
  }
  // Not written yet.
  Array(Number type, int64_t size, int64_t offset = 0)
      : type_(type), size_(static_cast<size_t>(size)), offset_(offset), memory_(allocate(byte_count())) {}
  Array(Array&& other) noexcept { *this = std::move(other); }
  Array& operator=(Array&& other) noexcept {
    std::swap(type_, other.type_);
    std::swap(size_, other.size_);
    std::swap(offset_, other.offset_);
    std::swap(memory_, other.memory_);
    std::swap(values_, other.values_);
    return *this;
  }
  ~Array() {
    if (memory_ != nullptr) release(memory_);
  }

  template <typename T = float>
  T* data() const {
    if (memory_ == nullptr) return nullptr;
    return reinterpret_cast<T*>(static_cast<unsigned char*>(memory_) + static_cast<size_t>(offset_) * bytes_of(type_));
  }
  void* pointer() const { return data<unsigned char>(); }
  bool exists() const { return memory_ != nullptr; }
  size_t size() const { return size_; }
  Number type() const { return type_; }

  double operator[](int64_t i) const { return values_[static_cast<size_t>(i)]; }  // as it was made
  const std::vector<double>& values() const { return values_; }

  std::vector<unsigned char> bits() const {
    std::vector<unsigned char> bytes(size_ * bytes_of(type_));
    if (!bytes.empty()) copy_from_device(bytes.data(), pointer(), bytes.size());
    return bytes;
  }

  // What the device holds now.
  std::vector<double> read() const {
    const auto bytes = bits();
    std::vector<double> all(size_);
    for (size_t i = 0; i < size_; ++i) all[i] = read_number(type_, bytes.data() + i * bytes_of(type_));
    return all;
  }

 private:
  size_t byte_count() const { return (size_ + static_cast<size_t>(offset_)) * bytes_of(type_); }

  Number type_ = Number::float32;
  size_t size_ = 0;
  int64_t offset_ = 0;
  void* memory_ = nullptr;
  std::vector<double> values_;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed * 0x9e3779b97f4a7c15ull + 1) {}

  int64_t pick(std::initializer_list<int64_t> from) { return from.begin()[engine_() % from.size()]; }
  bool coin() { return engine_() % 2 == 0; }
  double normal() { return normal_(engine_); }
  std::vector<double> normals(int64_t count, double scale = 1) {
    std::vector<double> all(static_cast<size_t>(count));
    for (auto& x : all) x = scale * normal();
    return all;
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

// How many products a number is the sum of, and how large numbers are whose difference it is.
struct Sums {
  Sums(double width, double largest = 0) : width(width), largest(largest) {}  // NOLINT: most are of products alone
  double width;
  double largest;
};

// Throws unless every number is within the floor of what is expected, or twice the largest error of `plain`, where that
// is given: the same sums of weights that were rounded to the type, yet to be rounded themselves. NaN must meet NaN.
inline void expect_near(const std::vector<double>& got, const std::vector<double>& expected, Number type,
                        const Sums& of, const std::string& what, const std::vector<double>& plain = {}) {
  expect(got.size() == expected.size(), what + ": " + std::to_string(got.size()) + " numbers");
  double top = of.largest;
  for (const double x : expected) {
    if (std::isfinite(x)) top = std::max(top, std::fabs(x));
  }
  double bound = error_floor(type, top, of.width);
  for (size_t i = 0; i < plain.size(); ++i) {
    bound = std::max(bound, 2 * std::fabs(rounded(type, plain[i]) - expected[i]));
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = std::isnan(expected[i])   ? std::isnan(got[i])
                      : std::isinf(expected[i]) ? got[i] == expected[i]
                                                : std::fabs(got[i] - expected[i]) <= bound;
    expect(same, what + ": number " + std::to_string(i) + " is " + std::to_string(got[i]) + ", expected " +
                     std::to_string(expected[i]) + " within " + std::to_string(bound));
  }
}

}  // namespace fovea::kernels::testing
