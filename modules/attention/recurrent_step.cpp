#include "fovea/modules/attention/recurrent_step.h"

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/thin_product.h"
#include "fovea/modules/shape.h"

namespace fovea {

RecurrentCellImpl::RecurrentCellImpl(CellKind kind, int64_t input_width, int64_t state_width)
    : kind(kind), input_width(input_width), state_width(state_width) {
  reset();
}

void RecurrentCellImpl::reset() {
  const int64_t rows = (kind == CellKind::gru ? 3 : 4) * state_width;
  weight_ih = register_parameter("weight_ih", init_fan_in_uniform({rows, input_width}, state_width));
  weight_hh = register_parameter("weight_hh", init_fan_in_uniform({rows, state_width}, state_width));
  bias_ih = register_parameter("bias_ih", init_fan_in_uniform({rows}, state_width));
  bias_hh = register_parameter("bias_hh", init_fan_in_uniform({rows}, state_width));
}

RecurrentCellImpl::State RecurrentCellImpl::forward(const at::Tensor& x, const State& state) {
  if (kind == CellKind::gru) return {at::gru_cell(x, state.hidden, weight_ih, weight_hh, bias_ih, bias_hh), {}};
  const thin::Factor input{x, weight_ih}, hidden{state.hidden, weight_hh};
  if (!differentiates({bias_ih, bias_hh}) && thin::runs_lstm(input, hidden, state.memory)) {
    const auto next = thin::lstm_step(input, hidden, state.memory, bias_ih, bias_hh);
    return {next.hidden, next.memory};
  }
  const auto next = at::lstm_cell(x, {state.hidden, state.memory}, weight_ih, weight_hh, bias_ih, bias_hh);
  return {std::get<0>(next), std::get<1>(next)};
}

RecurrentAttentionStepImpl::RecurrentAttentionStepImpl(const RecurrentAttentionStepOptions& options)
    : options(options) {
  require(options.word_width > 0 && options.state_width > 0 && options.value_width > 0 && options.output_width > 0,
          ErrorKind::usage,
          "RecurrentAttentionStep: word_width {}, state_width {}, value_width {} and output_width {} must be positive",
          options.word_width, options.state_width, options.value_width, options.output_width);
  require(!options.input_feeding || options.order == RecurrentOrder::luong, ErrorKind::usage,
          "RecurrentAttentionStep: input_feeding goes with luong's order");
  reset();
}

void RecurrentAttentionStepImpl::reset() {
  const auto& o = options;
  const bool bahdanau = o.order == RecurrentOrder::bahdanau;
  score = register_module("score", ScoreFunction({.kind = o.score,
                                                  .query_width = o.state_width,
                                                  .key_width = o.value_width,
                                                  .hidden = o.hidden,
                                                  .positions = o.positions}));
  const int64_t beside = bahdanau ? o.value_width : o.input_feeding ? o.output_width : 0;
  cell = register_module("cell", std::make_shared<RecurrentCellImpl>(o.cell, o.word_width + beside, o.state_width));
  readout =
      register_module("readout", Linear({.in_features = o.value_width + o.state_width + (bahdanau ? o.word_width : 0),
                                         .out_features = o.output_width,
                                         .bias = bahdanau}));
}

RecurrentAttentionSource RecurrentAttentionStepImpl::prepare(const at::Tensor& annotations, const at::Tensor& mask) {
  require(annotations.defined() && annotations.dim() == 3 && annotations.size(2) == options.value_width,
          ErrorKind::data, "RecurrentAttentionStep: expected annotations [B,M,{}], got {}", options.value_width,
          shape_text(annotations));
  require(!mask.defined() || (mask.scalar_type() == at::kBool && mask.sizes() == annotations.sizes().slice(0, 2)),
          ErrorKind::data, "RecurrentAttentionStep: expected mask bool [B,M], got {} for annotations {}",
          shape_text(mask), shape_text(annotations));
  const auto visible = hide_rows(annotations, mask);
  return {visible, score->prepare(visible), mask};
}

RecurrentAttentionState RecurrentAttentionStepImpl::initial_state(int64_t batch) const {
  const auto zeros = at::zeros({batch, options.state_width}, cell->weight_hh.options().requires_grad(false));
  return {{zeros, options.cell == CellKind::lstm ? zeros : at::Tensor()}, {}};
}

RecurrentAttentionStepImpl::Attended RecurrentAttentionStepImpl::attend(const at::Tensor& state,
                                                                        const RecurrentAttentionSource& source) {
  const auto scores = score->score(state.unsqueeze(1), source.prepared).squeeze(1);  // [B,M]
  const auto weights = masked_softmax(scores, source.mask);
  const auto context = at::matmul(weights.unsqueeze(1), source.values).squeeze(1);  // [B,e]
  if (recording::wanted(this)) recording::add(this, MapKind::tokens, weights.unsqueeze(1).unsqueeze(1));
  return {context, weights};
}

RecurrentAttentionResult RecurrentAttentionStepImpl::forward(const at::Tensor& word,
                                                             const RecurrentAttentionState& state,
                                                             const RecurrentAttentionSource& source) {
  require(word.dim() == 2 && word.size(1) == options.word_width && source.values.size(0) == word.size(0) &&
              state.cell.hidden.size(0) == word.size(0),
          ErrorKind::data, "RecurrentAttentionStep: expected word [B,{}] with the batch of annotations {}, got {}",
          options.word_width, shape_text(source.values), shape_text(word));
  RecurrentAttentionResult result;
  if (options.order == RecurrentOrder::bahdanau) {
    const auto [context, weights] = attend(state.cell.hidden, source);
    result.state.cell = cell->forward(at::cat({word, context}, 1), state.cell);
    result.readout = readout->forward(at::cat({context, result.state.cell.hidden, word}, 1));
    result.context = context;
    result.weights = weights;
    return result;
  }
  auto input = word;
  if (options.input_feeding) {
    const auto before = state.readout.defined()
                            ? state.readout
                            : at::zeros({word.size(0), options.output_width}, word.options().requires_grad(false));
    input = at::cat({word, before}, 1);
  }
  result.state.cell = cell->forward(input, state.cell);
  const auto [context, weights] = attend(result.state.cell.hidden, source);
  result.readout = at::tanh(readout->forward(at::cat({context, result.state.cell.hidden}, 1)));
  if (options.input_feeding) result.state.readout = result.readout;
  result.context = context;
  result.weights = weights;
  return result;
}

}  // namespace fovea
