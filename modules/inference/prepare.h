// Makes a model ready to be run many times.
#pragma once

#include <torch/nn/module.h>

namespace fovea {

// Puts the model into evaluation mode, folds batch norms into convolutions and packs weights for the chip's fast path.
// Parameters stay as they are; train(), to(), load_weights and clone() drop the packed forms. Results change in the
// last bits only. Worth it from the third image on. No other thread may use the model meanwhile.
void prepare_for_inference(torch::nn::Module& model);

// Rounds the weights of every Linear of the model to 8 bits with one scale a row: a quarter of float32's memory, an
// error of at most half a step, largest|w| of the row/254. The steps are multiplied out within the product on the CPU
// (float32, bfloat16, float16), elsewhere one layer at a time. For inference, after loading: these weights are buffers
// then, which no optimiser sees and load_weights does not fill. Gradients of inputs still flow.
// Dettmers et al., LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale, 2022,
// https://arxiv.org/abs/2208.07339
void quantise_weights(torch::nn::Module& model);

}  // namespace fovea
