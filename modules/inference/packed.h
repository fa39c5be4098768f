// A rearranged copy of a parameter for one chip's fast path, valid until the parameter changes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace fovea {

class PackedWeight {
 public:
  // Rearranges the weight for an input of these sizes.
  using Arrange = std::function<at::Tensor(at::IntArrayRef input)>;

  // A weight made from `source`, with the `bias` that belongs to it.
  void set(Arrange arrange, at::Tensor bias, const at::Tensor& source);
  void drop();

  // True while `source` is the tensor it was made from, unchanged.
  bool valid_for(const at::Tensor& source) const;

  // Arranged by the first call, for the sizes of its input: the best layout depends on them, and a weight in another
  // one is rearranged by every call that uses it. Safe from several threads at once.
  const at::Tensor& weight(const at::Tensor& input) const;
  const at::Tensor& bias() const { return bias_; }

 private:
  struct Weight;

  std::shared_ptr<Weight> weight_;
  at::Tensor bias_;
  const void* data_ = nullptr;
  uint32_t version_ = 0;
};

}  // namespace fovea
