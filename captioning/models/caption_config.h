// config.json of captioners.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fovea/captioning/models/load_captioner.h"
#include "fovea/modules/module.h"
#include "fovea/modules/weights/state_dict.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {

// A part of the checkpoint: the keys behind `theirs` are loaded into the module of the captioner at `ours`.
struct CaptionerPart {
  std::string theirs;                     // "decoder."
  std::string ours;                       // "decoder"
  std::string layout;                     // a name of layouts()
  double norm_eps = 0;                    // of its LayerNorms; 0: as the model was made
  std::vector<std::string> dropped = {};  // keys without a place, as the file has them: tied tables
};

struct CaptionerConfig {
  std::string name;
  std::function<std::shared_ptr<Captioner>()> build;
  std::vector<CaptionerPart> parts;
  CaptionTokens tokens;
  UsualGeneration usual = {};
  PreprocessOptions preprocess;
};

// True where config.json names one of the captioners that read_caption_config knows.
bool names_captioner(const std::string& path);

// `path` is config.json. Throws Error(data) naming file and key.
CaptionerConfig read_caption_config(const std::string& path);

// The weights of the sgrvinod tutorial in this folder, BEST_checkpoint*.pth.tar before checkpoint*.pth.tar; empty where
// there are none.
std::string tutorial_weights(const std::string& folder);

// Its network, as the shapes of the checkpoint tell it: a ResNet of 18 to 152 layers, an LSTM, the numbers of <start>,
// <end> and <pad> in the tokenizer. Throws Error(data) naming `file`.
CaptionerConfig read_tutorial_config(const StateDict& checkpoint, const Tokenizer& words, const std::string& file);

}  // namespace fovea
