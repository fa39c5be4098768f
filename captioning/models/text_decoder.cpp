#include "fovea/captioning/models/text_decoder.h"

#include "fovea/captioning/models/place_table.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

TextDecoderImpl::TextDecoderImpl(const TextDecoderOptions& given) : options(given) {
  require(options.positions > 0 && options.depth > 0, ErrorKind::usage,
          "TextDecoder: positions {} and depth {} must be positive", options.positions, options.depth);
  if (options.hidden == 0) options.hidden = 4 * options.dim;
  if (options.memory_dim == 0) options.memory_dim = options.dim;
  reset();
}

void TextDecoderImpl::reset() {
  const auto& o = options;
  const LayerNormOptions norms = {.features = o.dim, .eps = o.norm_eps};
  embed_tokens = register_module("embed_tokens", Embedding({.count = o.vocabulary, .features = o.dim}));
  embed_positions = register_parameter("embed_positions", init_truncated_normal({o.positions, o.dim}, 0.02));
  embed_norm = norm = head_norm = nullptr;
  head_transform = head = nullptr;
  head_bias = place_embed = at::Tensor();
  if (o.places > 0) place_embed = register_parameter("place_embed", place_table(o.places, o.memory_dim));
  if (!o.norm_first) embed_norm = register_module("embed_norm", LayerNorm(norms));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < o.depth; ++i) {
    blocks->push_back(DecoderBlock({.dim = o.dim,
                                    .heads = o.heads,
                                    .hidden = o.hidden,
                                    .memory_dim = o.memory_dim,
                                    .norm_first = o.norm_first,
                                    .activation = o.activation,
                                    .norm_eps = o.norm_eps,
                                    .dropout = o.dropout}));
  }
  if (o.norm_first) norm = register_module("norm", LayerNorm(norms));
  if (o.head_transform) {
    head_transform =
        register_module("head_transform", Linear({.in_features = o.dim, .out_features = o.dim, .initial_std = 0.02}));
    head_norm = register_module("head_norm", LayerNorm(norms));
    head_bias = register_parameter("head_bias", init_zeros({o.vocabulary}));
  }
  if (o.tied) return;
  head = register_module(
      "head", Linear({.in_features = o.dim, .out_features = o.vocabulary, .bias = false, .initial_std = 0.02}));
}

std::unique_ptr<TextDecoderState> TextDecoderImpl::start(const at::Tensor& image) {
  const auto memory = at_places("TextDecoder", image, options.memory_dim, place_embed);
  auto state = std::make_unique<TextDecoderState>();
  state->blocks.resize(blocks->size());
  for (size_t i = 0; i < blocks->size(); ++i) {
    blocks[i]->as<DecoderBlock>()->cross_attn->look(memory, state->blocks[i].image);
  }
  return state;
}

at::Tensor TextDecoderImpl::run(TextDecoderState& state, const at::Tensor& tokens) {
  const int64_t end = state.length + tokens.size(1);
  require(end <= options.positions, ErrorKind::data, "TextDecoder: {} tokens, but there are only {} positions", end,
          options.positions);
  auto x = embed_tokens->forward(tokens) + embed_positions.narrow(0, state.length, tokens.size(1));
  if (embed_norm) x = embed_norm->forward(x);
  x = at::dropout(x, options.dropout, is_training());
  for (size_t i = 0; i < blocks->size(); ++i) x = blocks[i]->as<DecoderBlock>()->forward(x, state.blocks[i]);
  state.length = end;
  return norm ? norm->forward(x) : x;
}

at::Tensor TextDecoderImpl::scores(const at::Tensor& x) {
  const auto words = head_transform ? head_norm->forward(head_transform->forward(x, options.activation)) : x;
  const auto logits = head ? head->forward(words) : embed_tokens->scores(words);
  return head_bias.defined() ? logits + head_bias : logits;
}

at::Tensor TextDecoderImpl::place_words(const at::Tensor& memory) {
  require(options.tied && options.memory_dim == options.dim, ErrorKind::usage,
          "TextDecoder: words of places need tied words as wide as the image's tokens, {}, not {}", options.memory_dim,
          options.dim);
  return embed_tokens->scores(at_places("TextDecoder", memory, options.memory_dim, place_embed));
}

at::Tensor TextDecoderImpl::step(TextDecoderState& state, const StepInput& input) {
  if (input.rows.defined()) {
    const auto rows = input.rows.to(embed_tokens->weight.device());
    for (DecoderBlockCache& block : state.blocks) block.text.select(rows);
  }
  const auto x = run(state, input.tokens.to(embed_tokens->weight.device()));
  return scores(x.select(1, x.size(1) - 1));
}

at::Tensor TextDecoderImpl::forward(const at::Tensor& tokens, const at::Tensor& memory) {
  const auto state = start(memory);
  return scores(run(*state, tokens));
}

}  // namespace fovea
