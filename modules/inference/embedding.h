// A table of vectors by number, read both ways.
#pragma once

#include "fovea/modules/inference/packed.h"
#include "fovea/modules/module.h"

namespace fovea {

struct EmbeddingOptions {
  int64_t count = 0;     // rows
  int64_t features = 0;  // width of a row
  double initial_std = 0.02;
};

// Key `weight` [count,features].
class EmbeddingImpl : public Module<EmbeddingImpl> {
 public:
  explicit EmbeddingImpl(const EmbeddingOptions& options);
  void reset() override;
  void pack() override;
  void unpack() override { packed_.drop(); }

  // ids int64 […] → […,features]. Throws Error(data) for a number outside the table.
  at::Tensor forward(const at::Tensor& ids);

  // x […,features] → x·Wᵀ […,count]: the scores of all rows, for a decoder whose output shares the table (Press and
  // Wolf, Using the Output Embedding to Improve Language Models, 2016, https://arxiv.org/abs/1608.05859).
  at::Tensor scores(const at::Tensor& x);

  EmbeddingOptions options;
  at::Tensor weight;

 private:
  PackedWeight packed_;
};
FOVEA_MODULE(Embedding);

}  // namespace fovea
