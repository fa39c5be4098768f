// fovea evaluate of captions: scores, what goes wrong, and on scenes what is right and where the network looked.
#pragma once

#include <optional>
#include <string>

#include "fovea/apps/caption_data.h"
#include "fovea/apps/common_options.h"

namespace CLI {
class App;
}

namespace fovea {

struct CaptionEvaluation {
  CaptionDataOptions data;
  std::string model;             // folder of a captioner
  std::string weights;           // another file of its weights
  std::string captions;          // a file of captions already made, in place of a network
  std::optional<int64_t> beams;  // as the captioner's configuration says, as the next
  std::optional<int64_t> max_length;
  bool shuffled = false;  // also with the attention weights out of order
  int64_t seed = 0;       // of that order
  std::string output;     // file of the results
  bool force = false;
  bool json = false;
};

// Those that other evaluations do not have.
void add_caption_options(CLI::App& app, CaptionEvaluation& options);

// The answer of the command.
int evaluate_captions(const CaptionEvaluation& options, const CommonOptions& common);

}  // namespace fovea
