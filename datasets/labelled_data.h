// Labelled pictures of a folder, whatever its kind, or generated ones.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fovea/vision/training/dataset.h"

namespace fovea {

struct LabelledData {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;  // null where the folder holds none
};

// The names of the classes where the data says them (an image folder, Pathfinder); else empty.
std::vector<std::string> labels_of_data(const std::filesystem::path& folder);

// An image folder (image_folder.h; a part for testing is `test`, or else `val` or `valid`, beside `train`), or IDX
// files (idx_dataset.h); where nothing of that name exists, "pathfinder", "pathfinder:TRAIN" and
// "pathfinder:TRAIN:TEST" are so many pictures of pathfinder.h (20,000 and 2,000). Throws as these do, Error(data)
// where the data has another number of classes.
LabelledData open_labelled_data(const std::filesystem::path& folder, int64_t classes);

}  // namespace fovea
