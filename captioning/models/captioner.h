// The interface of every captioner: an image is encoded once, then the decoder is stepped.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "fovea/captioning/generation/generate.h"
#include "fovea/modules/attention/recorder.h"

namespace fovea {

// What a decoder keeps between steps.
struct CaptionState {
  CaptionState() = default;
  virtual ~CaptionState() = default;
  CaptionState(const CaptionState&) = delete;
  CaptionState& operator=(const CaptionState&) = delete;
};

class Captioner {
 public:
  virtual ~Captioner() = default;

  // x [B,3,h,w], normalised → what the decoder looks at, [B,M,E].
  virtual at::Tensor encode(const at::Tensor& x) = 0;

  // Projects the keys of these images, once for all steps and beams.
  virtual std::unique_ptr<CaptionState> start(const at::Tensor& memory) = 0;

  // → logits [R,V] of the token behind the newest; `state` is one that start() of this model gave.
  virtual at::Tensor step(CaptionState& state, const StepInput& input) = 0;

  // Teacher forcing: tokens int64 [B,n], memory [B,M,E] → logits [B,n,V] of the token behind each.
  virtual at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory) = 0;

  // memory [B,M,E] → [B,M,V]: scores of the words that each place alone would have said, with the weights by which the
  // words are chosen. Throws Error(usage) where the decoder has none that fit the memory.
  virtual at::Tensor place_words(const at::Tensor& memory) = 0;

  // Where the M places of the memory lie on an input of this size.
  virtual TokenGrid grid(int64_t height, int64_t width) const = 0;

  // RE2, full match on the paths of the layers whose maps point into the image: rows for the newest tokens, columns for
  // the M places.
  virtual std::string map_layers() const = 0;

  // Tokens of the longest text that the decoder can write, or 0 where there is no bound.
  virtual int64_t longest() const = 0;

  // The same object as a torch module (parameters, train(), to()).
  virtual torch::nn::Module& module() = 0;
};

}  // namespace fovea
