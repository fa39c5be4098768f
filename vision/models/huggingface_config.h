// config.json of transformers: ViT, DeiT with its teacher's token, DINOv2, Swin, the image towers of CLIP and SigLIP.
// https://huggingface.co/docs/transformers/main_classes/configuration
#pragma once

#include "fovea/vision/models/json_reader.h"
#include "fovea/vision/models/model_config.h"

namespace fovea {

// `config` is the whole of config.json. Keys that are absent have the defaults of transformers. Labels are taken
// unless they are LABEL_0, LABEL_1, …. A preprocessor_config.json beside the file gives the preprocessing
// (huggingface_preprocessor.h). Throws Error(data) for a model_type, an activation or a step of preprocessing that is
// not supported, by its name.
ModelConfig read_huggingface_config(const JsonReader& config);

}  // namespace fovea
