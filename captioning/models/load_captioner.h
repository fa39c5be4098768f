// Captioners as transformers' save_pretrained writes them: a folder with configuration, weights and tokenizer.
#pragma once

#include <optional>

#include "fovea/captioning/models/captioner.h"
#include "fovea/captioning/tokenizers/tokenizer.h"
#include "fovea/vision/image/preprocess.h"

namespace fovea {

// How the texts of a captioner begin and end.
struct CaptionTokens {
  int64_t start = -1;
  int64_t end = -1;
  int64_t pad = -1;
};

// How a captioner writes where nobody says otherwise.
struct UsualGeneration {
  GenerationOptions options = {.max_length = 0};  // without its tokens; max_length 0: new_tokens
  int64_t new_tokens = 20;                        // behind the prompt
};

struct LoadedCaptioner {
  std::string name;  // the model_type of its configuration
  std::shared_ptr<Captioner> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  PreprocessOptions preprocess;
  CaptionTokens tokens;
  UsualGeneration usual;  // of generation_config.json
  std::string report;     // what was loaded, for a log
};

// True for a folder whose config.json names a captioner, or with the files of the sgrvinod tutorial.
bool is_captioner(const std::string& folder);

// Reads config.json (vision-encoder-decoder of ViT and GPT-2; blip), generation_config.json, processor_config.json or
// preprocessor_config.json, the tokenizer and the weights (safetensors or files of torch.save, sharded or not; both
// generations of transformers' keys, and the original .pth of BLIP under the name pytorch_model.bin); or the files of
// the sgrvinod tutorial (BEST_checkpoint_*.pth.tar with WORDMAP_*.json). `weights` names another file of weights.
// Throws Error(io) for a missing file, Error(data) naming file and key for what is not supported or does not fit.
LoadedCaptioner load_captioner(const std::string& folder, const std::string& weights = "");

}  // namespace fovea
