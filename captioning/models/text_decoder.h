// A Transformer that writes text about an image: GPT-2 with cross attention, or BERT as a decoder.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <vector>

#include "fovea/captioning/generation/generate.h"
#include "fovea/captioning/models/captioner.h"
#include "fovea/captioning/models/decoder_block.h"
#include "fovea/modules/inference/embedding.h"

namespace fovea {

struct TextDecoderOptions {
  int64_t vocabulary = 0;
  int64_t positions = 0;  // tokens of the longest text
  int64_t dim = 0;        // width of a token, a multiple of heads
  int64_t depth = 0;      // blocks
  int64_t heads = 0;
  int64_t hidden = 0;      // of the MLPs; 0: 4·dim
  int64_t memory_dim = 0;  // width of the image's tokens; 0: dim
  int64_t places = 0;      // tokens of the image, where a learned vector a place is added to each; 0: none
  bool norm_first =
      true;  // pre-LN blocks and a LayerNorm behind them (GPT-2); else post-LN, behind the embedding (BERT)
  bool head_transform = false;  // BERT's head: Linear, activation, LayerNorm before the scores, and a bias on them
  bool tied = true;             // the scores share the table of the embedding
  Activation activation = Activation::gelu;
  double norm_eps = 1e-5;
  double dropout = 0;
};

struct TextDecoderState : CaptionState {
  std::vector<DecoderBlockCache> blocks;
  int64_t length = 0;  // tokens so far
};

// Tokens and learned positions → blocks → scores of the next token at each place. Keys `embed_tokens.weight`,
// `embed_positions`, `embed_norm.*`, `blocks.N.*`, `norm.*`, `head_transform.*`, `head_norm.*`, `head_bias`,
// `head.weight`, `place_embed` [places,E].
// Radford et al., Language Models are Unsupervised Multitask Learners, 2019,
// https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
// Li et al., BLIP, 2022, https://arxiv.org/abs/2201.12086
class TextDecoderImpl : public Module<TextDecoderImpl> {
 public:
  explicit TextDecoderImpl(const TextDecoderOptions& options);
  void reset() override;

  // memory [B,M,E]: projects the keys and values of the image, once for all steps and beams. Throws Error(data) for
  // a memory of another width or number of places.
  std::unique_ptr<TextDecoderState> start(const at::Tensor& memory);

  // → logits [R,V] of the token behind the newest. Throws Error(data) for more tokens than there are positions.
  at::Tensor step(TextDecoderState& state, const StepInput& input);

  // Teacher forcing: tokens int64 [B,n], memory [B,M,E] → logits [B,n,V] of the token behind each.
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory);

  // memory [B,M,D], as wide as the tokens of a tied decoder → [B,M,V].
  at::Tensor place_words(const at::Tensor& memory);

  TextDecoderOptions options;  // with the zeros resolved
  Embedding embed_tokens{nullptr};
  at::Tensor embed_positions;     // [positions,D]
  LayerNorm embed_norm{nullptr};  // null with norm_first
  torch::nn::ModuleList blocks;
  LayerNorm norm{nullptr};         // null without norm_first
  Linear head_transform{nullptr};  // null without; as the two below
  LayerNorm head_norm{nullptr};
  at::Tensor head_bias;    // [V]
  Linear head{nullptr};    // null where tied
  at::Tensor place_embed;  // undefined without places

 private:
  at::Tensor run(TextDecoderState& state, const at::Tensor& tokens);  // [R,n] → [R,n,D]
  at::Tensor scores(const at::Tensor& x);                             // […,D] → […,V]
};
FOVEA_MODULE(TextDecoder);

}  // namespace fovea
