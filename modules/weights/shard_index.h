// model.safetensors.index.json and pytorch_model.bin.index.json: which file of a folder holds which tensor.
// https://huggingface.co/docs/safetensors
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace fovea {

struct Shard {
  std::filesystem::path path;
  std::vector<std::string> tensors;  // that it shall hold, sorted
};

// In the order of their names. A shard lies in the folder of the index; a link may lead to `../../blobs`, where the
// cache of Hugging Face keeps files, and nowhere else out of the folder. Only `weight_map` is read. Throws Error(io)
// for a shard that is not there, Error(data), and what read_json throws.
std::vector<Shard> read_shard_index(const std::filesystem::path& index);

}  // namespace fovea
