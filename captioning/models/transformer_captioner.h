// An image encoder and a Transformer that writes: ViT-GPT2, BLIP, or any network of vision with a text decoder.
#pragma once

#include <functional>

#include "fovea/captioning/models/text_decoder.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct TransformerCaptionerOptions {
  std::function<std::shared_ptr<ImageModel>()> encoder;  // makes one; a network without classifier
  int64_t encoder_dim = 0;                               // width of its tokens, or channels of its grid
  bool project = false;                                  // a Linear from encoder_dim to the decoder's width
  TextDecoderOptions decoder;
};

// memory = encoder's tokens, or the places of its grid row by row [B,C,h,w] → [B,h·w,C]; with `project` through
// `enc_to_dec_proj`. Keys `encoder.…`, `enc_to_dec_proj.*`, `decoder.…`.
// Vinyals et al., Show and Tell, 2014, https://arxiv.org/abs/1411.4555; Vaswani et al., 2017
class TransformerCaptionerImpl : public Module<TransformerCaptionerImpl>, public Captioner {
 public:
  explicit TransformerCaptionerImpl(const TransformerCaptionerOptions& options);
  void reset() override;

  at::Tensor encode(const at::Tensor& x) override;
  std::unique_ptr<CaptionState> start(const at::Tensor& memory) override { return decoder->start(memory); }
  at::Tensor step(CaptionState& state, const StepInput& input) override;
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory) override;
  at::Tensor place_words(const at::Tensor& memory) override { return decoder->place_words(memory); }
  TokenGrid grid(int64_t height, int64_t width) const override { return encoder->grid(height, width); }
  std::string map_layers() const override { return R"(decoder\.blocks\.\d+\.cross_attn)"; }
  int64_t longest() const override { return options.decoder.positions; }
  torch::nn::Module& module() override { return *this; }

  TransformerCaptionerOptions options;
  std::shared_ptr<ImageModel> encoder;
  Linear enc_to_dec_proj{nullptr};  // null without `project`
  TextDecoder decoder{nullptr};
};
FOVEA_MODULE(TransformerCaptioner);

}  // namespace fovea
