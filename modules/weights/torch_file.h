// What torch.save writes: zip files (since PyTorch 1.6) and the row of pickles of before. A state dict, one inside
// other dictionaries, or whole modules. Read as data: nothing in the file is imported or run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/modules/weights/safetensors.h"

namespace fovea {

// A view into a storage, which several tensors may share. Lies inside it by the checks of parse_torch_file.
struct TorchTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // elements, not negative
  uint64_t storage = 0;          // where its storage begins: bytes from the start of the file
  uint64_t storage_bytes = 0;
  uint64_t first = 0;  // element of the storage where the tensor begins
};

struct TorchFile {
  std::vector<TorchTensor> tensors;  // in the order of the file
  std::string source;                // the entry they come from, "state_dict"; empty: the file itself
  std::vector<std::string> ignored;  // entries beside them that hold no weights: "epoch", "optimizer"
};

// Zip archives and old PyTorch files, by their first bytes.
bool is_torch_file(std::span<const std::byte> file);

// `file` is the whole file; `name` stands before the cause in messages. Of the entries `state_dict_ema`, `model_ema`,
// `state_dict`, `model_state_dict`, `model`, `module`, `net`, `network`, `teacher` the first that holds tensors is
// taken, again inside it; otherwise names of nested dictionaries and modules are joined with dots, leaving out
// optimizers and schedulers. A module gives its parameters and persistent buffers. Throws Error(data): for what is no
// such file, for any function or bare name that is not on the list (by its name), for storages and strides that reach
// beyond the file; and Error(resource) where its structure alone takes too much memory.
TorchFile parse_torch_file(std::span<const std::byte> file, std::string_view name);

}  // namespace fovea
