#include "fovea/datasets/labelled_data.h"

#include <re2/re2.h>

#include <optional>

#include "fovea/datasets/idx_dataset.h"
#include "fovea/datasets/image_folder.h"
#include "fovea/datasets/pathfinder/pathfinder.h"
#include "fovea/modules/error.h"

namespace fovea {

namespace fs = std::filesystem;

namespace {

// How many pictures of Pathfinder a name asks for.
struct PathfinderCounts {
  int64_t train = 20'000, test = 2'000;
};

std::optional<PathfinderCounts> pathfinder_counts(const fs::path& name) {
  static const RE2 form("pathfinder(?::([0-9]{1,9}))?(?::([0-9]{1,9}))?");
  std::string train, test;
  if (fs::exists(name) || !RE2::FullMatch(name.string(), form, &train, &test)) return std::nullopt;
  PathfinderCounts counts;
  if (!train.empty()) counts.train = std::stoll(train);
  if (!test.empty()) counts.test = std::stoll(test);
  return counts;
}

}  // namespace

std::vector<std::string> labels_of_data(const fs::path& folder) {
  if (pathfinder_counts(folder)) return {"apart", "joined"};
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
  if (const auto counts = pathfinder_counts(folder)) {
    return {.train = pathfinder_dataset({.seed = 0}, counts->train),
            .test = pathfinder_dataset({.seed = 1}, counts->test)};
  }
  const bool split = fs::is_directory(folder / "train");
  LabelledData data{.train = open_image_folder(split ? folder / "train" : folder, names), .test = nullptr};
  for (const char* part : {"test", "val", "valid"}) {
    if (!split || data.test || !fs::is_directory(folder / part)) continue;
    data.test = open_image_folder(folder / part, names);
  }
  return data;
}

}  // namespace fovea
