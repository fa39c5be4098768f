// Vectors of doubles and products by plain loops, for the oracles of this folder.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <string>
#include <vector>

#include "fovea/tests/support/error_of.h"

namespace fovea::testing {

using Vector = std::vector<double>;

// A tensor of one dimension.
inline Vector row(const at::Tensor& t) {
  const auto values = t.detach().to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

inline double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Matrix [out,in] times vector.
inline Vector times(const at::Tensor& matrix, const Vector& x) {
  Vector result;
  for (int64_t i = 0; i < matrix.size(0); ++i) result.push_back(dot(row(matrix[i]), x));
  return result;
}

inline Vector plus(Vector a, const Vector& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

inline Vector each(Vector a, double (*f)(double)) {
  for (double& value : a) value = f(value);
  return a;
}

inline Vector joined(const std::vector<Vector>& parts) {
  Vector result;
  for (const Vector& part : parts) result.insert(result.end(), part.begin(), part.end());
  return result;
}

}  // namespace fovea::testing
