#include "fovea/modules/inference/embedding.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/inference/onednn.h"
#include "fovea/modules/inference/thin_product.h"

namespace fovea {

EmbeddingImpl::EmbeddingImpl(const EmbeddingOptions& options) : options(options) {
  require(options.count > 0 && options.features > 0, ErrorKind::usage,
          "Embedding: count {} and features {} must be positive", options.count, options.features);
  reset();
}

void EmbeddingImpl::reset() {
  packed_.drop();
  weight = register_parameter("weight", init_truncated_normal({options.count, options.features}, options.initial_std));
}

void EmbeddingImpl::pack() {
  if (!onednn::supports(weight)) return;
  packed_.set([plain = weight.detach()](at::IntArrayRef input) { return onednn::reorder_linear(plain, input); }, {},
              weight);
}

at::Tensor EmbeddingImpl::forward(const at::Tensor& ids) {
  require(ids.defined() && ids.scalar_type() == at::kLong, ErrorKind::data, "Embedding: expected numbers of int64");
  if (ids.device().is_cpu() && ids.numel() > 0) {
    const auto given = ids.contiguous();
    const auto* const first = given.const_data_ptr<int64_t>();
    const auto [least, most] = std::ranges::minmax(std::span(first, static_cast<size_t>(given.numel())));
    require(least >= 0 && most < options.count, ErrorKind::data, "Embedding: expected numbers of 0 to {}, got {} to {}",
            options.count - 1, least, most);
  }
  return at::embedding(weight, ids);
}

at::Tensor EmbeddingImpl::scores(const at::Tensor& x) {
  if (!at::GradMode::is_enabled() && x.scalar_type() == weight.scalar_type() && packed_.valid_for(weight)) {
    if (thin::runs({x, weight})) return thin::product({x, weight}, {});
    return onednn::linear(x, packed_.weight(x), packed_.bias(), Activation::none);
  }
  return at::linear(x, weight);
}

}  // namespace fovea
