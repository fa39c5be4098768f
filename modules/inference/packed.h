// A rearranged copy of a parameter for one chip's fast path, valid until the parameter changes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fovea {

class PackedWeight {
 public:
  // `weight` in the library's own layout, with the `bias` that belongs to it, made from `source`.
  void set(at::Tensor weight, at::Tensor bias, const at::Tensor& source);
  void drop();

  // True while `source` is the tensor it was made from, unchanged.
  bool valid_for(const at::Tensor& source) const;

  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  const void* data_ = nullptr;
  uint32_t version_ = 0;
};

}  // namespace fovea
