// A captioner whose attention is put out of order, to see how much of what it says comes from where it looks.
#pragma once

#include "fovea/captioning/models/captioner.h"

namespace fovea {

// The same network, but what it reads at a place belongs to another one: the attention weights of the places of the
// image are shuffled, in the same way for all layers, heads and steps of a start() and anew for the next. Recorded maps
// are the weights as the network made them. Throws Error(internal) at start() for a decoder that it does not know.
class ShuffledCaptioner : public Captioner {
 public:
  ShuffledCaptioner(std::shared_ptr<Captioner> model, uint64_t seed) : model_(std::move(model)), seed_(seed) {}

  at::Tensor encode(const at::Tensor& x) override { return model_->encode(x); }
  std::unique_ptr<CaptionState> start(const at::Tensor& memory) override;
  at::Tensor step(CaptionState& state, const StepInput& input) override { return model_->step(state, input); }
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory) override;
  at::Tensor place_words(const at::Tensor& memory) override { return model_->place_words(memory); }
  TokenGrid grid(int64_t height, int64_t width) const override { return model_->grid(height, width); }
  std::string map_layers() const override { return model_->map_layers(); }
  int64_t longest() const override { return model_->longest(); }
  torch::nn::Module& module() override { return model_->module(); }

 private:
  std::shared_ptr<Captioner> model_;
  uint64_t seed_;
};

}  // namespace fovea
