// What `fovea bench kernels` times, and how: calls of the core functions on random input, on the rows of their tables.
#pragma once

#include <ATen/ATen.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

namespace fovea {

// Of the tensors of all cases.
struct Where {
  at::Device device;
  at::ScalarType type;

  at::TensorOptions options() const { return at::TensorOptions(device).dtype(type); }
  at::Tensor draw(at::IntArrayRef sizes) const { return at::randn(sizes, options()); }
  // Rows of the tables: our kernels, LibTorch's, the formula.
  std::vector<std::string> backends() const { return {device.is_cpu() ? "cpu" : "cuda", "sdpa", "reference"}; }
  std::vector<std::string> without_sdpa() const { return {backends()[0], "", "reference"}; }
};

// One way to compute the case: a row of a backend table, or nothing where there is no such row.
using Call = std::function<at::Tensor()>;

struct KernelCase {
  std::string name;
  double operations = 0;  // multiplications and additions; 0: bound by memory
  // The call of one backend; all of a case share their inputs.
  std::function<Call(const std::string& backend)> prepare = {};
  std::vector<std::string> backends = {};  // ours, LibTorch's, the formula; "" where there is none
  Call copy = {};                          // of the input, beside what is bound by memory
};

std::vector<KernelCase> kernel_cases(const Where& where);

// Medians, microseconds; 0: there is no such row.
struct KernelTimes {
  double ours = 0;
  double sdpa = 0;
  double naive = 0;
  double copy = 0;

  double ratio() const { return (sdpa > 0 && sdpa < naive ? sdpa : naive) / ours; }  // of the better one
};

// The calls take turns, until there are enough timings or `stop` is set.
KernelTimes times_of(const KernelCase& c, const Where& where, const std::atomic<bool>& stop);

// What a large product reaches, of oneDNN or on the GPU, operations a microsecond.
double peak_of(const Where& where);

}  // namespace fovea
