#include "fovea/modules/patch/mlp.h"

#include "fovea/modules/checks.h"

namespace fovea {

MlpImpl::MlpImpl(const MlpOptions& options) : options(options) {
  require(options.features > 0 && options.hidden > 0, ErrorKind::usage,
          "Mlp: features {} and hidden {} must be positive", options.features, options.hidden);
  require_probability("Mlp", "dropout", options.dropout);
  reset();
}

void MlpImpl::reset() {
  fc1 = register_module("fc1",
                        Linear({.in_features = options.features, .out_features = options.hidden, .initial_std = 0.02}));
  fc2 = register_module("fc2",
                        Linear({.in_features = options.hidden, .out_features = options.features, .initial_std = 0.02}));
}

at::Tensor MlpImpl::forward(const at::Tensor& x) {
  const auto hidden = at::dropout(fc1->forward(x, options.activation), options.dropout, is_training());
  return at::dropout(fc2->forward(hidden), options.dropout, is_training());
}

}  // namespace fovea
