// Folders of pictures, one subfolder a class, as torchvision's ImageFolder has them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fovea/vision/training/dataset.h"

namespace fovea {

// The names of the classes: the subfolders in the order of their bytes, those of `train` where there is a folder of
// that name. Empty where `folder` holds no subfolders with pictures, and so is no such dataset.
std::vector<std::string> image_folder_classes(const std::filesystem::path& folder);

// Every picture (.jpg, .jpeg, .png, .bmp, .tif, .tiff, .webp, in any case) below the subfolder of each class, in the
// order of their paths; hidden files are passed over. Pictures are decoded when they are asked for: get() throws as
// load_image does. Throws Error(data) for a class without pictures or a subfolder that is no class, Error(io) for a
// folder that cannot be read.
std::unique_ptr<Dataset> open_image_folder(const std::filesystem::path& folder,
                                           const std::vector<std::string>& classes);

}  // namespace fovea
