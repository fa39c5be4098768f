// The state of a training run on the disk: two generations, each complete or not there at all.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

struct TrainingState {
  int64_t step = 0;                             // steps done
  std::map<std::string, std::string> settings;  // option → value, of the run that wrote it
  std::string history;                          // text that the run carries along
  StateDict tensors;
};

// One process at a time trains into a folder: an advisory lock on it, given back at the end of the process.
class FolderLock {
 public:
  // Throws Error(io) where the folder cannot be opened or written, or another process holds it.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

// Two files, state.0.safetensors and state.1.safetensors, each with a CRC-32 over names and bytes in its metadata. A
// save replaces the older one atomically, so that the newer survives whatever happens meanwhile.
class StateFiles {
 public:
  // Removes temporary files that killed runs left.
  explicit StateFiles(const std::filesystem::path& folder);

  bool exist() const;
  void remove();

  // The newest complete one; a damaged one is passed over with a warning. Nothing where there is none. Throws
  // Error(data) where all are damaged.
  std::optional<TrainingState> load();

  // Throws Error(io) and leaves both files as they were.
  void save(const TrainingState& state);

 private:
  std::filesystem::path path(int slot) const;

  std::filesystem::path folder_;
  int next_ = 0;  // slot of the next save: never the newest complete one
};

}  // namespace fovea
