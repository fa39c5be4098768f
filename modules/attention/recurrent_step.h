// One decoder step of an attentive recurrent network, in the order of Bahdanau's paper or of Luong's.
#pragma once

#include "fovea/modules/attention/score.h"

namespace fovea {

enum class RecurrentOrder {
  bahdanau,  // the previous state asks; the context enters the cell beside the word
  luong,     // the cell steps first; the current state asks
};

enum class CellKind { gru, lstm };

// A GRU or LSTM cell with torch's names: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
class RecurrentCellImpl : public Module<RecurrentCellImpl> {
 public:
  RecurrentCellImpl(CellKind kind, int64_t input_width, int64_t state_width);
  void reset() override;

  struct State {
    at::Tensor hidden;  // [B,state]
    at::Tensor memory;  // [B,state], of an LSTM
  };
  State forward(const at::Tensor& x, const State& state);  // x [B,input]

  CellKind kind;
  int64_t input_width;
  int64_t state_width;
  at::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
};

struct RecurrentAttentionStepOptions {
  RecurrentOrder order = RecurrentOrder::bahdanau;
  CellKind cell = CellKind::gru;
  int64_t word_width = 0;  // of the embedding of the word before
  int64_t state_width = 0;
  int64_t value_width = 0;   // of the annotations, which are keys and values
  int64_t output_width = 0;  // of the readout
  Score score = Score::additive;
  int64_t hidden = 0;          // of additive; 0: value_width
  int64_t positions = 0;       // of location
  bool input_feeding = false;  // luong: the readout of the step before enters the cell beside the word
};

struct RecurrentAttentionState {
  RecurrentCellImpl::State cell;
  at::Tensor readout;  // [B,output], with input_feeding; undefined before the first step
};

// What a sequence of annotations is turned into, once.
struct RecurrentAttentionSource {
  at::Tensor values;    // [B,M,e]
  at::Tensor prepared;  // of the score
  at::Tensor mask;      // bool [B,M] or undefined
};

struct RecurrentAttentionResult {
  at::Tensor readout;  // [B,output]
  at::Tensor context;  // [B,e]
  at::Tensor weights;  // [B,M]
  RecurrentAttentionState state;
};

// bahdanau: a = softmax(score(s_{t−1}, h)), c = Σ a·h, s_t = cell([word; c], s_{t−1}), readout = W·[c; s_t; word] + b.
// luong:    s_t = cell([word; readout_{t−1}], s_{t−1}), a = softmax(score(s_t, h)), c = Σ a·h,
//           readout = tanh(W·[c; s_t]); without input feeding the cell gets the word alone.
//
// Keys `score.…`, `cell.weight_ih` …, `readout.weight` (and `readout.bias`, bahdanau). Throws Error(usage) for widths
// that do not suit the score, Error(data) naming the shapes that disagree. Bahdanau et al., 2015,
// https://arxiv.org/abs/1409.0473; Luong et al., 2015, https://arxiv.org/abs/1508.04025
class RecurrentAttentionStepImpl : public Module<RecurrentAttentionStepImpl> {
 public:
  explicit RecurrentAttentionStepImpl(const RecurrentAttentionStepOptions& options);
  void reset() override;

  RecurrentAttentionSource prepare(const at::Tensor& annotations, const at::Tensor& mask = {});  // [B,M,e]
  RecurrentAttentionState initial_state(int64_t batch) const;                                    // zeros
  RecurrentAttentionResult forward(const at::Tensor& word, const RecurrentAttentionState& state,
                                   const RecurrentAttentionSource& source);

  RecurrentAttentionStepOptions options;
  ScoreFunction score = nullptr;
  std::shared_ptr<RecurrentCellImpl> cell;
  Linear readout = nullptr;

 private:
  struct Attended {
    at::Tensor context, weights;
  };
  Attended attend(const at::Tensor& state, const RecurrentAttentionSource& source);
};

FOVEA_MODULE(RecurrentAttentionStep);

}  // namespace fovea
