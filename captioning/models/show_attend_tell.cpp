#include "fovea/captioning/models/show_attend_tell.h"

#include "fovea/captioning/models/place_table.h"
#include "fovea/modules/attention/additive.h"
#include "fovea/modules/checks.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/shape.h"

namespace fovea {

GridAttentionImpl::GridAttentionImpl(const GridDecoderOptions& options) : options(options) {
  reset();
}

void GridAttentionImpl::reset() {
  const auto& o = options;
  encoder_att = register_module("encoder_att", Linear({.in_features = o.memory_dim, .out_features = o.attention_dim}));
  decoder_att = register_module("decoder_att", Linear({.in_features = o.state_dim, .out_features = o.attention_dim}));
  full_att = register_module("full_att", Linear({.in_features = o.attention_dim, .out_features = 1}));
}

at::Tensor GridAttentionImpl::forward(const at::Tensor& hidden, const at::Tensor& keys, const at::Tensor& memory,
                                      bool record) {
  // The beams of an image become several queries: [R,a] → [B,R/B,a].
  const auto query = decoder_att->forward(hidden).view({memory.size(0), -1, options.attention_dim});
  const auto [context, weights] =
      additive_attention(query, keys, memory, full_att->weight.squeeze(0), {.relu = options.score == GridScore::relu});
  if (record && recording::wanted(this)) {
    recording::add(this, MapKind::tokens, weights.view({hidden.size(0), 1, 1, memory.size(1)}));
  }
  return context.view({hidden.size(0), memory.size(2)});
}

GridDecoderImpl::GridDecoderImpl(const GridDecoderOptions& options) : options(options) {
  const auto& o = options;
  require(o.vocabulary > 0 && o.word_dim > 0 && o.state_dim > 0 && o.attention_dim > 0 && o.memory_dim > 0,
          ErrorKind::usage,
          "GridDecoder: vocabulary {}, word_dim {}, state_dim {}, attention_dim {} and memory_dim {} must be positive",
          o.vocabulary, o.word_dim, o.state_dim, o.attention_dim, o.memory_dim);
  require_probability("GridDecoder", "dropout", o.dropout);
  reset();
}

void GridDecoderImpl::reset() {
  const auto& o = options;
  attention = register_module("attention", std::make_shared<GridAttentionImpl>(o));
  embedding =
      register_module("embedding", Embedding({.count = o.vocabulary, .features = o.word_dim, .initial_std = 0.1}));
  decode_step = register_module(
      "decode_step", std::make_shared<RecurrentCellImpl>(CellKind::lstm, o.word_dim + o.memory_dim, o.state_dim));
  init_h = register_module("init_h", Linear({.in_features = o.memory_dim, .out_features = o.state_dim}));
  init_c = register_module("init_c", Linear({.in_features = o.memory_dim, .out_features = o.state_dim}));
  f_beta = nullptr;
  if (o.gated) f_beta = register_module("f_beta", Linear({.in_features = o.state_dim, .out_features = o.memory_dim}));
  fc = register_module("fc", Linear({.in_features = o.state_dim, .out_features = o.vocabulary}));
  fc_context = nullptr;
  if (o.deep_output) {
    fc_context = register_module("fc_context",
                                 Linear({.in_features = o.memory_dim, .out_features = o.vocabulary, .bias = false}));
  }
  place_embed = at::Tensor();
  if (o.places > 0) place_embed = register_parameter("place_embed", place_table(o.places, o.memory_dim));
}

std::unique_ptr<GridDecoderState> GridDecoderImpl::start(const at::Tensor& memory) {
  auto state = std::make_unique<GridDecoderState>();
  state->memory = at_places("GridDecoder", memory, options.memory_dim, place_embed);
  state->keys = attention->encoder_att->forward(state->memory);
  const auto mean = memory.mean(1);
  state->cell = {init_h->forward(mean), init_c->forward(mean)};
  return state;
}

at::Tensor GridDecoderImpl::advance(GridDecoderState& state, const at::Tensor& tokens, bool record) {
  const auto& hidden = state.cell.hidden;
  auto context = attention->forward(hidden, state.keys, state.memory, record);
  if (f_beta) context = at::sigmoid(f_beta->forward(hidden)) * context;
  state.cell = decode_step->forward(at::cat({embedding->forward(tokens), context}, 1), state.cell);
  const auto logits = fc->forward(at::dropout(state.cell.hidden, options.dropout, is_training()));
  return fc_context ? logits + fc_context->forward(context) : logits;
}

at::Tensor GridDecoderImpl::step(GridDecoderState& state, const StepInput& input) {
  const auto device = embedding->weight.device();
  if (input.rows.defined()) {
    const auto rows = input.rows.to(device);
    state.cell = {state.cell.hidden.index_select(0, rows), state.cell.memory.index_select(0, rows)};
  }
  const auto tokens = input.tokens.to(device);
  at::Tensor logits;
  for (int64_t i = 0; i < tokens.size(1); ++i) {
    logits = advance(state, tokens.select(1, i), /*record=*/i + 1 == tokens.size(1));
  }
  return logits;
}

at::Tensor GridDecoderImpl::forward(const at::Tensor& tokens, const at::Tensor& memory) {
  const auto state = start(memory);
  std::vector<at::Tensor> logits;
  for (int64_t i = 0; i < tokens.size(1); ++i) logits.push_back(advance(*state, tokens.select(1, i), /*record=*/true));
  return at::stack(logits, 1);
}

at::Tensor GridDecoderImpl::place_words(const at::Tensor& memory) {
  require(bool(fc_context), ErrorKind::usage, "GridDecoder: words of places need deep_output");
  const auto seen = at_places("GridDecoder", memory, options.memory_dim, place_embed);
  return fc_context->forward(seen) + fc->bias;
}

ShowAttendTellImpl::ShowAttendTellImpl(const ShowAttendTellOptions& options) : options(options) {
  require(options.encoder != nullptr && options.grid >= 0, ErrorKind::usage,
          "ShowAttendTell: an encoder is required, and grid {} must not be negative", options.grid);
  reset();
}

void ShowAttendTellImpl::reset() {
  encoder = options.encoder();
  register_module("encoder", std::dynamic_pointer_cast<torch::nn::Module>(encoder));
  decoder = register_module("decoder", GridDecoder(options.decoder));
}

at::Tensor ShowAttendTellImpl::encode(const at::Tensor& x) {
  auto features = encoder->forward_features(x);
  require(features.dim() == 4, ErrorKind::usage, "ShowAttendTell: expected a grid [B,C,h,w] of the encoder, got {}",
          shape_text(features));
  if (options.grid > 0) features = at::adaptive_avg_pool2d(features, {options.grid, options.grid});
  return features.flatten(2).transpose(1, 2).contiguous();  // [B,C,h,w] → [B,h·w,C]
}

TokenGrid ShowAttendTellImpl::grid(int64_t height, int64_t width) const {
  if (options.grid > 0) return {.height = options.grid, .width = options.grid};
  return encoder->grid(height, width);
}

at::Tensor ShowAttendTellImpl::step(CaptionState& state, const StepInput& input) {
  return decoder->step(dynamic_cast<GridDecoderState&>(state), input);
}

at::Tensor ShowAttendTellImpl::forward(const at::Tensor& tokens, const at::Tensor& memory) {
  return decoder->forward(tokens, memory);
}

}  // namespace fovea
