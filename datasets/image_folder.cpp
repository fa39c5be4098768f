#include "fovea/datasets/image_folder.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "fovea/modules/error.h"
#include "fovea/vision/image/decode.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> endings = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"};

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_picture(const fs::directory_entry& entry) {
  std::string ending = entry.path().extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return !is_hidden(entry.path()) && entry.is_regular_file() &&
         std::find(endings.begin(), endings.end(), ending) != endings.end();
}

// Runs `visit` on every entry; what the file system says becomes one of our errors.
template <typename Iterator, typename Visit>
void for_each_entry(const fs::path& folder, const Visit& visit) {
  try {
    for (const fs::directory_entry& entry : Iterator(folder)) visit(entry);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorKind::io, "{}: {}", printable(folder.string()), error.code().message());
  }
}

std::vector<std::string> subfolders(const fs::path& folder) {
  std::vector<std::string> names;
  for_each_entry<fs::directory_iterator>(folder, [&](const fs::directory_entry& entry) {
    if (entry.is_directory() && !is_hidden(entry.path())) names.push_back(entry.path().filename().string());
  });
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<fs::path> pictures_below(const fs::path& folder) {
  std::vector<fs::path> paths;
  for_each_entry<fs::recursive_directory_iterator>(folder, [&](const fs::directory_entry& entry) {
    if (is_picture(entry)) paths.push_back(entry.path());
  });
  std::sort(paths.begin(), paths.end());
  return paths;
}

class ImageFolder : public Dataset {
 public:
  struct Picture {
    fs::path path;
    int64_t label;
  };
  ImageFolder(std::vector<Picture> pictures, int64_t classes) : pictures_(std::move(pictures)), classes_(classes) {}

  int64_t size() const override { return static_cast<int64_t>(pictures_.size()); }
  int64_t classes() const override { return classes_; }
  Example get(int64_t index) const override {
    const Picture& picture = pictures_[static_cast<size_t>(index)];
    return {.image = load_image(picture.path.string()), .label = picture.label};
  }

 private:
  std::vector<Picture> pictures_;
  int64_t classes_;
};

}  // namespace

std::vector<std::string> image_folder_classes(const fs::path& folder) {
  const fs::path root = fs::is_directory(folder / "train") ? folder / "train" : folder;
  std::vector<std::string> classes = subfolders(root);
  const bool any = std::any_of(classes.begin(), classes.end(),
                               [&](const std::string& name) { return !pictures_below(root / name).empty(); });
  return any ? classes : std::vector<std::string>();
}

std::unique_ptr<Dataset> open_image_folder(const fs::path& folder, const std::vector<std::string>& classes) {
  for (const std::string& name : subfolders(folder)) {
    require(std::find(classes.begin(), classes.end(), name) != classes.end(), ErrorKind::data,
            "{}: {} is none of the {} classes", printable(folder.string()), printable(name), classes.size());
  }
  std::vector<ImageFolder::Picture> pictures;
  for (size_t label = 0; label < classes.size(); ++label) {
    const auto paths = pictures_below(folder / classes[label]);
    require(!paths.empty(), ErrorKind::data, "{}: holds no pictures", printable((folder / classes[label]).string()));
    for (const fs::path& path : paths) pictures.push_back({path, static_cast<int64_t>(label)});
  }
  return std::make_unique<ImageFolder>(std::move(pictures), static_cast<int64_t>(classes.size()));
}

}  // namespace fovea
