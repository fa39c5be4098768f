#include "fovea/modules/weights/weight_folder.h"

namespace fovea {

std::filesystem::path weights_in(const std::filesystem::path& folder) {
  constexpr const char* names[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                   "pytorch_model.bin.index.json"};
  std::error_code error;
  for (const char* name : names) {
    if (std::filesystem::exists(folder / name, error)) return folder / name;
  }
  return folder / names[0];
}

}  // namespace fovea
