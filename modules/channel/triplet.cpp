#include "fovea/modules/channel/triplet.h"

#include "fovea/modules/error.h"

namespace fovea {

TripletAttentionImpl::BranchImpl::BranchImpl(const TripletAttentionOptions& options, int64_t pooled)
    : options(options), pooled(pooled) {
  reset();
}

void TripletAttentionImpl::BranchImpl::reset() {
  conv = register_module("conv", std::make_shared<CbamConvImpl>(CbamOptions{
                                     .channels = 1, .kernel = options.kernel, .momentum = options.momentum}));
}

at::Tensor TripletAttentionImpl::BranchImpl::forward(const at::Tensor& x) {
  const auto turned = x.transpose(1, pooled);  // the dimension to pool comes first
  const auto pools = at::cat({turned.amax(1, /*keepdim=*/true), turned.mean(1, /*keepdim=*/true)}, 1);
  return at::sigmoid(conv->bn->forward(conv->conv->forward(pools))).transpose(1, pooled);
}

TripletAttentionImpl::TripletAttentionImpl(const TripletAttentionOptions& options) : options(options) {
  require(options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage, "TripletAttention: kernel {} must be odd",
          options.kernel);
  reset();
}

void TripletAttentionImpl::reset() {
  const auto branch = [&](const char* name, int64_t pooled) {
    branches.push_back(register_module(name, std::make_shared<BranchImpl>(options, pooled)));
  };
  branches.clear();
  branch("cw", 2);
  branch("hc", 3);
  if (options.spatial) branch("hw", 1);
}

at::Tensor TripletAttentionImpl::forward(const at::Tensor& x) {
  detail::check_feature_map("TripletAttention", x);
  detail::check_weight("TripletAttention", "its parameter", branches[0]->conv->conv->weight, x);
  at::Tensor gates;
  for (const auto& branch : branches) {
    const auto gate = branch->forward(x);
    gates = gates.defined() ? gates + gate : gate;
  }
  return detail::scaled(this, MapKind::feature, x, gates / static_cast<double>(branches.size()));
}

}  // namespace fovea
