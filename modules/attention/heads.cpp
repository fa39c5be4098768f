#include "fovea/modules/attention/heads.h"

namespace fovea {

std::vector<at::Tensor> split_heads(const at::Tensor& x, int64_t parts, int64_t heads) {
  return x.view({x.size(0), x.size(1), parts, heads, x.size(2) / parts / heads}).permute({2, 0, 3, 1, 4}).unbind(0);
}

at::Tensor join_heads(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

}  // namespace fovea
