#include "fovea/modules/patch/swiglu.h"

#include "fovea/modules/checks.h"

namespace fovea {

SwiGluImpl::SwiGluImpl(const SwiGluOptions& options) : options(options) {
  require(options.features > 0 && options.hidden > 0, ErrorKind::usage,
          "SwiGlu: features {} and hidden {} must be positive", options.features, options.hidden);
  require_probability("SwiGlu", "dropout", options.dropout);
  reset();
}

void SwiGluImpl::reset() {
  fc1 = register_module(
      "fc1", Linear({.in_features = options.features, .out_features = 2 * options.hidden, .initial_std = 0.02}));
  fc2 = register_module("fc2",
                        Linear({.in_features = options.hidden, .out_features = options.features, .initial_std = 0.02}));
}

at::Tensor SwiGluImpl::forward(const at::Tensor& x) {
  const auto halves = fc1->forward(x).chunk(2, -1);
  const auto hidden = at::dropout(at::silu(halves[0]) * halves[1], options.dropout, is_training());
  return at::dropout(fc2->forward(hidden), options.dropout, is_training());
}

}  // namespace fovea
