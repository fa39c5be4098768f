// Do the masks of a network hold? Tokens that must not be seen are changed, and whoever notices leaks.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fovea {

struct AuditOptions {
  bool causal = false;      // no position may depend on a later token
  at::Tensor lengths = {};  // int64 [B]: none before its item's length may depend on a token from there on
  int64_t vocabulary = 0;   // ids that may be drawn in place of others; 0: up to the largest that is there
  double tolerance = 1e-5;  // of a change, as a part of the largest number of the tensor
  uint64_t seed = 0;        // of what takes the tokens' places
};

struct MaskLeak {
  std::string what;     // "future" or "padding"
  std::string layer;    // path of the deepest module that must hold the fault; "" is the model itself
  std::string behind;   // the last layer with parameters that was still right; empty: none was
  std::string before;   // the first one that was not, or "the output"
  int64_t changed = 0;  // the first token that was changed …
  int64_t noticed = 0;  // … and the first position that noticed
  double change = 0;    // there, as a part of the largest number of the tensor
};

// Runs `forward` on tokens [B,N] (ids) or [B,N,…] (numbers) as they are and changed, and compares, layer by layer, what
// goes into and comes out of everything that has parameters of `model`; activations are told from others by their one
// dimension of size N, so take an N that no other size equals. It needs nothing of the layers: it watches the operators
// of LibTorch, so it also sees through modules that are not fovea's. A leak is reported at the first place where it
// shows; what comes behind it is no news. Empty: the masks hold.
// Throws Error(usage) where nothing was asked for, where the model answers differently to the same tokens (dropout:
// call eval()), or where there are fewer than two tokens; Error(data) for lengths that do not fit.
std::vector<MaskLeak> audit_masks(const torch::nn::Module& model,
                                  const std::function<at::Tensor(const at::Tensor&)>& forward, const at::Tensor& tokens,
                                  const AuditOptions& options);

}  // namespace fovea
