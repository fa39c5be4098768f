#include "fovea/modules/inference/packed.h"

#include <ATen/ATen.h>

#include <mutex>

#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

// Inference tensors carry no version; they cannot be changed by training either.
uint32_t version_of(const at::Tensor& tensor) {
  return tensor.is_inference() ? 0 : tensor._version();
}

}  // namespace

struct PackedWeight::Weight {
  std::once_flag once;
  Arrange arrange;      // until the first use
  at::Tensor arranged;  // from then on
  at::Tensor source;
};

void PackedWeight::set(Arrange arrange, at::Tensor bias, const at::Tensor& source) {
  weight_ = std::make_shared<Weight>();
  weight_->arrange = std::move(arrange);
  weight_->source = source.detach();
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
  return weight_ != nullptr && data_ == source.const_data_ptr() && version_ == version_of(source);
}

const at::Tensor& PackedWeight::weight(const at::Tensor& input) const {
  Weight& weight = *weight_;
  std::call_once(weight.once, [&] {
    const at::NoGradGuard no_grad;
    weight.arranged = weight.arrange(input.sizes());
    weight.arrange = nullptr;
    release_mapped_pages(weight.source.const_data_ptr(), weight.source.nbytes());
    weight.source.reset();
  });
  return weight.arranged;
}

}  // namespace fovea
