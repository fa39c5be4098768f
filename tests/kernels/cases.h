// What the tests of the kernels share: how many cases to draw, what bounds their errors, and bits.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

namespace fovea::testing {

// FOVEA_CASES asks for more than `usual`.
inline uint64_t case_count(uint64_t usual) {
  const char* given = std::getenv("FOVEA_CASES");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : usual;
}

inline double largest_error(const at::Tensor& a, const at::Tensor& expected) {
  if (expected.numel() == 0) return a.sizes() == expected.sizes() ? 0 : INFINITY;
  const double error = (a.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  return std::isnan(error) ? INFINITY : error;
}

// The least error that counts: rounding of sums of `width` products, as large as the result.
inline double error_floor(const at::Tensor& expected, int64_t width) {
  const auto type = expected.scalar_type();
  const double top = expected.numel() == 0 ? 1.0 : std::max(expected.abs().max().item<double>(), 1.0);
  const double unit = type == at::kBFloat16 ? 4e-3 : type == at::kHalf ? 1e-3 : type == at::kFloat ? 1e-6 : 1e-14;
  return unit * top * std::sqrt(static_cast<double>(width));
}

// True when both hold the same bits, NaN included.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         at::equal(a.contiguous().view(at::kByte), b.contiguous().view(at::kByte));
}

// What f gives is the same bits every time, with one thread and with all of them.
inline bool repeats(const std::function<std::vector<at::Tensor>()>& f, int times = 50) {
  const auto first = f();
  const int threads = at::get_num_threads();
  bool same = true;
  for (int i = 1; i < times && same; ++i) {
    at::set_num_threads(i % 2 == 0 ? threads : 3 - std::min(threads, 2));
    const auto again = f();
    for (size_t t = 0; t < first.size(); ++t) same = same && same_bits(first[t], again[t]);
  }
  at::set_num_threads(threads);
  return same;
}

// Bytes of memory that this process has at most, beyond what it has now, while f runs.
inline double most_memory_of(const std::function<void()>& f) {
  const auto peak = [] {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
    }
    return static_cast<double>(NAN);
  };
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = peak();
  f();
  return peak() - before;
}

}  // namespace fovea::testing
