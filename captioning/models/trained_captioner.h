// Captioners that fovea trains: a network of the registry and one of two decoders, and the folder they are kept in.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "fovea/captioning/models/caption_config.h"
#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/captioning/models/text_decoder.h"
#include "fovea/vision/models/registry.h"

namespace fovea {

struct TrainedCaptioner {
  ModelInfo encoder;                // a name of create_model, its classes and preprocessing
  std::vector<std::string> labels;  // of its classes; may be empty
  // With memory_dim, and places of the former, those of the encoder on its input (feature_shape).
  std::variant<GridDecoderOptions, TextDecoderOptions> decoder;
  CaptionTokens tokens;
};

// How the encoder's features lie: `dim` wide, at `places` tokens or pixels of its grid.
struct FeatureShape {
  int64_t places = 0;
  int64_t dim = 0;
  bool grid = false;  // [B,C,h,w], else tokens [B,M,D]
};
FeatureShape feature_shape(const ModelInfo& encoder);

// ShowAttendTell on the whole grid, or TransformerCaptioner without projection; the encoder keeps its classifier.
// Throws Error(usage) as create_model and the decoders do.
std::shared_ptr<Captioner> make_captioner(const TrainedCaptioner& description);

// The network of the images inside the captioner: its child `encoder`. Throws Error(usage) where that is none of ours.
ImageModel& encoder_of(Captioner& captioner);

// Writes config.json (model_type "fovea-captioner": decoder, its widths, tokens) and encoder.json (as
// write_model_config) into the folder. The weights are those of the captioner's module, the tokenizer any that
// load_tokenizer reads.
void write_captioner_config(const std::string& folder, const TrainedCaptioner& description);

// The same files. Throws Error(data) naming file and key.
TrainedCaptioner read_trained_captioner(const JsonReader& config);

// What load_captioner makes of them.
CaptionerConfig trained_captioner_config(const JsonReader& config);

}  // namespace fovea
