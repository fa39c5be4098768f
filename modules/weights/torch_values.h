// Tensors and state in the values of a pickle; internal to torch_file.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "fovea/modules/weights/pickle.h"
#include "fovea/modules/weights/torch_file.h"

namespace fovea {

// What may stand in a file of torch.save.
extern const PickleRules kTorchRules;

// What a pickle says about a storage.
struct TorchStorage {
  std::string_view key;
  SafetensorsType type = SafetensorsType::U8;
  uint64_t elements = 0;  // that it claims to have
  uint64_t skipped = 0;   // elements before it in the storage of that key: old files share storages
};

struct StoragePlace {
  uint64_t offset = 0;  // bytes from the start of the file
  uint64_t bytes = 0;
};
// Where the bytes of a storage lie, all of those of its key. Throws Error(data) where there are none.
using StorageFinder = std::function<StoragePlace(const TorchStorage&)>;

// Null where the value is no storage. Throws Error(data) for one that is malformed or of an unknown type.
std::optional<TorchStorage> storage_in(const Pickle& pickle, PickleId id, std::string_view file);

// The tensor that a value rebuilds, without a name, or nothing where it is another value. Throws Error(data).
std::optional<TorchTensor> tensor_in(const Pickle& pickle, PickleId id, std::string_view file,
                                     const StorageFinder& find);

// All named tensors, as parse_torch_file gives them.
TorchFile collect_state(const Pickle& pickle, std::string_view file, const StorageFinder& find, MemoryBudget& budget);

}  // namespace fovea
