// From an image to captions, and for each word to where the network looked.
#pragma once

#include <optional>

#include "fovea/captioning/models/load_captioner.h"

namespace fovea {

struct CaptionOptions {
  // Its tokens are taken from the captioner. A max_length of 0 is captioner.usual.new_tokens behind the prompt: 20
  // where nobody says more, as transformers take it.
  GenerationOptions generation = {.max_length = 0};
  std::string prompt;  // text that every caption begins with
  bool maps = false;
};

struct CaptionWord {
  std::string text;
  at::Tensor heat;  // [h,w] float32: attention weights on the places of the image, mean of layers, heads and tokens
};

struct Caption {
  Generated generated;
  std::string text;                // without special tokens and surrounding spaces
  std::vector<CaptionWord> words;  // behind the prompt; with maps
};

// x [B,3,h,w] → for each image its hypotheses, the best first. Run it in inference mode.
// Throws what generate does, and Error(data) for a prompt that is no UTF-8 or leaves no room.
std::vector<std::vector<Caption>> caption(const LoadedCaptioner& captioner, const at::Tensor& x,
                                          const CaptionOptions& options);

// The same of what captioner.model->encode gave, memory [B,M,E], whose places lie on a `grid`.
std::vector<std::vector<Caption>> caption_memory(const LoadedCaptioner& captioner, const at::Tensor& memory,
                                                 const TokenGrid& grid, const CaptionOptions& options);

// The tokens that decoding starts with, int64 [1,n]: the start token, then the prompt.
at::Tensor prompt_tokens(const LoadedCaptioner& captioner, const std::string& prompt);

}  // namespace fovea
