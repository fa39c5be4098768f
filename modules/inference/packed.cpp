#include "fovea/modules/inference/packed.h"

namespace fovea {
namespace {

// Inference tensors carry no version; they cannot be changed by training either.
uint32_t version_of(const at::Tensor& tensor) { return tensor.is_inference() ? 0 : tensor._version(); }

}  // namespace

void PackedWeight::set(at::Tensor weight, at::Tensor bias, const at::Tensor& source) {
  weight_ = std::move(weight);
  bias_ = std::move(bias);
  data_ = source.const_data_ptr();
  version_ = version_of(source);
}

void PackedWeight::drop() {
  weight_.reset();
  bias_.reset();
  data_ = nullptr;
}

bool PackedWeight::valid_for(const at::Tensor& source) const {
  return weight_.defined() && data_ == source.const_data_ptr() && version_ == version_of(source);
}

}  // namespace fovea
