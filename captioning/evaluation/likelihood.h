// How likely a captioner finds what people wrote.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "fovea/captioning/models/load_captioner.h"

namespace fovea {

struct Likelihood {
  double log_probability = 0;  // natural, of all tokens
  int64_t tokens = 0;

  // exp(−log p / tokens): among how many equally likely tokens each was found, on average.
  double perplexity() const { return std::exp(-log_probability / static_cast<double>(tokens)); }
  Likelihood& operator+=(const Likelihood& other);
};

// Teacher forced: each token of the captions, the end token included, given the image and those before it; the start
// token is given. memory [1,M,E] is what captioner.model->encode gave of the image. Captions longer than the decoder
// can write are cut. Run it in inference mode.
// Throws Error(data) for text that is no UTF-8, Error(numeric) where a logit is NaN.
Likelihood likelihood(const LoadedCaptioner& captioner, const at::Tensor& memory,
                      const std::vector<std::string>& captions);

}  // namespace fovea
