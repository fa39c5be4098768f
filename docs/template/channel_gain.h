// A learned factor for each channel, the same for every picture.
#pragma once

#include "fovea/modules/channel/gate.h"

namespace fovea {

struct ChannelGainOptions {
  int64_t channels = 0;
  double initial = 2;  // score that every factor starts with
};

// y = x ⊙ σ(w). [B,C,h,w] → same. Key `weight` [C]. Throws Error(usage) for channels that are not positive, Error(data)
// naming the shape of x.
// Here stand authors, title, year and a link to the paper.
class ChannelGainImpl : public Module<ChannelGainImpl> {
 public:
  explicit ChannelGainImpl(const ChannelGainOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

  ChannelGainOptions options;
  at::Tensor weight;
};
FOVEA_MODULE(ChannelGain);

}  // namespace fovea
