// From a decoder's scores to sequences of tokens: greedy, beam search and sampling, equal to transformers' generate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace fovea {

// One step of a decoder that keeps what it has seen (keys and values, or a recurrent state) row by row.
struct StepInput {
  at::Tensor tokens;  // int64 [R,n], the newest of each row; all of the prompt at the first step
  at::Tensor rows;    // int64 [R]: which row of the step before each row continues; undefined: each itself
};
using StepFunction = std::function<at::Tensor(const StepInput&)>;  // → logits [R,V] of the token that comes next

enum class EarlyStopping {
  heuristic,  // when the best running hypothesis at its present length is worse than the worst finished one (False)
  when_full,  // as soon as `beams` hypotheses are finished (True)
  never,      // when no running hypothesis can become better up to max_length ("never")
};

struct GenerationOptions {
  int64_t max_length = 20;  // tokens of a sequence, prompt and end token included
  int64_t min_length = 0;   // the end token is forbidden in sequences shorter than this, prompt included
  int64_t beams = 1;
  int64_t n_best = 1;  // hypotheses of an image: at most `beams`, or samples
  double length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::heuristic;
  double repetition_penalty = 1;  // logits of tokens that are there are divided by it, multiplied where negative
  int64_t no_repeat_ngram = 0;    // no run of this many tokens occurs twice; 0: any may
  bool sample = false;            // draw from the probabilities
  double temperature = 1;         // logits / temperature; with sample, as the two below
  int64_t top_k = 50;             // only the k likeliest tokens; 0: all
  double top_p = 1;               // only the likeliest tokens that together have this probability
  uint64_t seed = 0;              // of the draws; equal to torch.manual_seed(seed) before generate
  int64_t end_token = -1;         // finishes a sequence; −1: none does
  int64_t pad_token = -1;         // what finished rows are fed meanwhile; −1: the end token
};

struct Generated {
  std::vector<int64_t> tokens;  // prompt and end token included, no padding
  // Σ log p / g^length_penalty over the g generated tokens, p after penalties and bans; of beams the score they were
  // ranked by.
  double score = 0;
  // For each generated token the row of the step it was chosen in, counted from 0 over the rows that step was given:
  // what the step recorded there (attention maps) belongs to the token.
  std::vector<int64_t> rows;
};

// prompt int64 [B,n] → for each of the B images its hypotheses, the best first. A hypothesis that beam search has not
// finished when it stops is left out. The first step is given B rows, later ones B·beams (or B·n_best samples).
//
// Beam search: log-softmax, then penalties, plus the score so far; of the 2·beams best continuations those that end
// among the first `beams` are finished with the score above, the best `beams` others run on.
// Throws Error(usage) for options that cannot work, Error(data) for a prompt that is no int64 matrix or already of
// max_length, Error(numeric) where logits hold NaN.
// Cho et al., 2014, https://arxiv.org/abs/1409.1259 (beam search); Holtzman et al., The Curious Case of Neural Text
// Degeneration, 2019, https://arxiv.org/abs/1904.09751 (top-p); Keskar et al., CTRL, 2019,
// https://arxiv.org/abs/1909.05858 (repetition penalty); Paulus et al., 2017, https://arxiv.org/abs/1705.04304
// (n-grams). Stopping and order of steps:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/generation/utils.py
std::vector<std::vector<Generated>> generate(const StepFunction& step, const at::Tensor& prompt,
                                             const GenerationOptions& options);

}  // namespace fovea
