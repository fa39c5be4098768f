// Where a folder of published weights keeps them.
#pragma once

#include <filesystem>

namespace fovea {

// As timm and transformers name the file, the first that is there: model.safetensors, model.safetensors.index.json,
// pytorch_model.bin, pytorch_model.bin.index.json; the first of them where none is, which loading then says is missing.
std::filesystem::path weights_in(const std::filesystem::path& folder);

}  // namespace fovea
