// Makes a model ready to be run many times.
#pragma once

#include <torch/nn/module.h>

namespace fovea {

// Puts the model into evaluation mode, folds batch norms into convolutions and packs weights for the chip's fast path.
// Parameters stay as they are; train(), to(), load_weights and clone() drop the packed forms. Results change in the
// last bits only. Worth it from the third image on. No other thread may use the model meanwhile.
void prepare_for_inference(torch::nn::Module& model);

}  // namespace fovea
