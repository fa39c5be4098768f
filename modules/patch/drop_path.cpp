#include "fovea/modules/patch/drop_path.h"

#include "fovea/modules/checks.h"

namespace fovea {

DropPathImpl::DropPathImpl(const DropPathOptions& options) : options(options) {
  require_probability("DropPath", "probability", options.probability);
}

at::Tensor DropPathImpl::forward(const at::Tensor& x) {
  if (!is_training() || options.probability == 0) return x;
  std::vector<int64_t> shape(x.dim(), 1);
  shape[0] = x.size(0);
  const double keep = 1 - options.probability;
  return x * at::empty(shape, x.options()).bernoulli_(keep).div_(keep);
}

double drop_path_rate(double last, int64_t index, int64_t depth) {
  return depth > 1 ? last * static_cast<double>(index) / static_cast<double>(depth - 1) : 0.0;
}

}  // namespace fovea
