// A layer applied to few rows is the reading of its weights: decoders step so, a word or a few beams at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace fovea::thin {

// x […,in] · weightᵀ [out,in].
struct Factor {
  at::Tensor x;
  at::Tensor weight;
};

// True where the kernel takes this: few rows on a CPU that it runs on, one type, and no autograd that follows.
bool runs(const Factor& factor);

// Σ x·Wᵀ + bias […,out], weights as they lie, each read once for all rows. `bias` may be undefined. Throws Error(data)
// for one of another type or length.
at::Tensor product(const Factor& factor, const at::Tensor& bias);

struct LstmState {
  at::Tensor hidden;  // [R,state]
  at::Tensor memory;  // [R,state]
};

// True where the kernel takes a step of an LSTM: input [R,in], hidden and memory [R,state].
bool runs_lstm(const Factor& input, const Factor& hidden, const at::Tensor& memory);

// torch's LSTMCell: gates i, f, g, o = input·W_ihᵀ + hidden·W_hhᵀ + both biases.
LstmState lstm_step(const Factor& input, const Factor& hidden, const at::Tensor& memory, const at::Tensor& bias_ih,
                    const at::Tensor& bias_hh);

}  // namespace fovea::thin
