// Stochastic depth: training leaves out whole residual branches at random.
#pragma once

#include "fovea/modules/module.h"

namespace fovea {

struct DropPathOptions {
  double probability = 0;  // of losing the branch, a sample of the batch at a time
};

// Stochastic depth: in training, each sample [b,…] of x [B,…] is zero with this probability, else scaled by
// 1/(1−probability), so that the expectation is x. No parameters.
// Huang et al., Deep Networks with Stochastic Depth, 2016, https://arxiv.org/abs/1603.09382
class DropPathImpl : public Module<DropPathImpl> {
 public:
  explicit DropPathImpl(const DropPathOptions& options);
  void reset() override {}
  at::Tensor forward(const at::Tensor& x);

  DropPathOptions options;
};
FOVEA_MODULE(DropPath);

// The linear rule: block `index` of `depth` drops with probability last·index/(depth−1), so 0 … last.
double drop_path_rate(double last, int64_t index, int64_t depth);

}  // namespace fovea
