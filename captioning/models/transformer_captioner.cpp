#include "fovea/captioning/models/transformer_captioner.h"

#include "fovea/modules/error.h"

namespace fovea {

TransformerCaptionerImpl::TransformerCaptionerImpl(const TransformerCaptionerOptions& given) : options(given) {
  require(options.encoder != nullptr && options.encoder_dim > 0, ErrorKind::usage,
          "TransformerCaptioner: an encoder and its encoder_dim are required");
  if (options.decoder.memory_dim == 0) {
    options.decoder.memory_dim = options.project ? options.decoder.dim : options.encoder_dim;
  }
  reset();
}

void TransformerCaptionerImpl::reset() {
  encoder = options.encoder();
  register_module("encoder", std::dynamic_pointer_cast<torch::nn::Module>(encoder));
  enc_to_dec_proj = nullptr;
  if (options.project) {
    enc_to_dec_proj = register_module(
        "enc_to_dec_proj",
        Linear({.in_features = options.encoder_dim, .out_features = options.decoder.memory_dim, .initial_std = 0.02}));
  }
  decoder = register_module("decoder", TextDecoder(options.decoder));
}

at::Tensor TransformerCaptionerImpl::encode(const at::Tensor& x) {
  const auto features = encoder->forward_features(x);
  const auto tokens = features.dim() == 4 ? features.flatten(2).transpose(1, 2) : features;  // [B,M,E]
  return enc_to_dec_proj ? enc_to_dec_proj->forward(tokens) : tokens;
}

at::Tensor TransformerCaptionerImpl::step(CaptionState& state, const StepInput& input) {
  return decoder->step(dynamic_cast<TextDecoderState&>(state), input);
}

at::Tensor TransformerCaptionerImpl::forward(const at::Tensor& tokens, const at::Tensor& memory) {
  return decoder->forward(tokens, memory);
}

}  // namespace fovea
