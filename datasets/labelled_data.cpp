#include "fovea/datasets/labelled_data.h"

#include "fovea/datasets/idx_dataset.h"
#include "fovea/datasets/image_folder.h"
#include "fovea/modules/error.h"

namespace fovea {

namespace fs = std::filesystem;

std::vector<std::string> labels_of_data(const fs::path& folder) {
  return fs::is_directory(folder) ? image_folder_classes(folder) : std::vector<std::string>();
}

LabelledData open_labelled_data(const fs::path& folder, int64_t classes) {
  const std::vector<std::string> names = labels_of_data(folder);
  if (names.empty()) {
    IdxFolder data = open_idx_folder(folder, classes);
    return {.train = std::move(data.train), .test = std::move(data.test)};
  }
  require(static_cast<int64_t>(names.size()) == classes, ErrorKind::data, "{}: {} classes, the model has {}",
          printable(folder.string()), names.size(), classes);
  const bool split = fs::is_directory(folder / "train");
  LabelledData data{.train = open_image_folder(split ? folder / "train" : folder, names), .test = nullptr};
  for (const char* part : {"test", "val", "valid"}) {
    if (!split || data.test || !fs::is_directory(folder / part)) continue;
    data.test = open_image_folder(folder / part, names);
  }
  return data;
}

}  // namespace fovea
