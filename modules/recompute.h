// Gradient checkpointing: what a block keeps for its backward pass is computed again there, so that only its input
// stays in memory.
//
//     for (auto& block : blocks) x = recompute_in_backward(block, x);
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>

namespace fovea {

// forward(x), whose gradients in x and in the parameters of `block` are those of running it as usual, bit for bit: the
// second run draws the same random numbers (dropout, drop path), has the same autocast settings, leaves buffers
// (running statistics) as they are and records nothing. Costs one more forward pass; memory falls from all blocks'
// insides to one block's.
//
// Gradients reach nothing else that `forward` refers to, and can be taken once (no second derivatives). Where nothing
// is to be differentiated, or a recorder asks for gradients inside the block, it runs as usual. Backward throws
// Error(usage) when the block was switched between training and evaluation meanwhile, and LibTorch's error when x or a
// parameter was written to.
// Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, https://arxiv.org/abs/1604.06174
at::Tensor recompute_in_backward(const std::shared_ptr<torch::nn::Module>& block,
                                 const std::function<at::Tensor(const at::Tensor&)>& forward, const at::Tensor& x);

// The same of a layer with forward(x): its pointer or holder.
template <typename Block>
at::Tensor recompute_in_backward(const Block& block, const at::Tensor& x) {
  const auto layer = [&] {
    if constexpr (requires { block.ptr(); }) {
      return block.ptr();
    } else {
      return block;
    }
  }();
  return recompute_in_backward(
      layer, [layer](const at::Tensor& input) { return layer->forward(input); }, x);
}

// While one lives, the transformers of this thread (ViT, Swin, CaiT, …) run each block by recompute_in_backward.
class RecomputeScope {
 public:
  explicit RecomputeScope(bool on = true);  // off: as before
  ~RecomputeScope();
  RecomputeScope(const RecomputeScope&) = delete;
  RecomputeScope& operator=(const RecomputeScope&) = delete;

  static bool active();

 private:
  bool outer_;
};

// One block of a list of them, as a model runs it: block->forward(x), under the scope above if there is one.
template <typename Block>
at::Tensor run_block(const std::shared_ptr<torch::nn::Module>& block, const at::Tensor& x) {
  const auto layer = std::dynamic_pointer_cast<Block>(block);
  return RecomputeScope::active() ? recompute_in_backward(layer, x) : layer->forward(x);
}

}  // namespace fovea
