#include "fovea/datasets/captions.h"

#include <algorithm>
#include <map>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/vision/image/decode.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct CaptionRow {
  std::string file;  // of the picture
  std::vector<std::string> captions;
};

class FileCaptions : public CaptionFiles {
 public:
  explicit FileCaptions(std::vector<CaptionRow> rows) : rows_(std::move(rows)) {}
  const std::string& file(int64_t index) const override { return row(index).file; }
  int64_t size() const override { return std::ssize(rows_); }
  CaptionedImage get(int64_t index) const override { return {load_image(row(index).file), row(index).captions}; }
  std::vector<std::string> captions(int64_t index) const override { return row(index).captions; }

 private:
  const CaptionRow& row(int64_t index) const { return rows_.at(static_cast<size_t>(index)); }

  std::vector<CaptionRow> rows_;
};

// A field of an object, of the type T. `file` and `what` name it in messages.
template <typename T>
T field(const std::string& file, const std::string& what, const Json& object, const char* key) {
  const auto found = object.find(key);
  require(found != object.end(), ErrorKind::data, "{}: {} without {}", printable(file), what, key);
  const bool fits = std::is_same_v<T, std::string> ? found->is_string() : found->is_number_integer();
  require(fits, ErrorKind::data, "{}: {} with {} {}", printable(file), what, key, printable(found->dump()));
  return found->get<T>();
}

// A name inside the folder: what a file says must not lead elsewhere.
std::string inside(const fs::path& folder, const std::string& name, const std::string& file) {
  const fs::path path(name);
  const bool leaves = path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end();
  require(!leaves, ErrorKind::data, "{}: picture {} lies outside of its folder", printable(file), printable(name));
  return (folder / path).string();
}

}  // namespace

std::unique_ptr<CaptionFiles> open_coco_captions(const fs::path& file, const fs::path& images) {
  const std::string name = file.string();
  std::vector<CaptionRow> rows;
  std::map<int64_t, size_t> places;                        // of pictures, by id
  std::vector<std::pair<int64_t, std::string>> sentences;  // the file may list them before the pictures
  read_json_items(name, [&](const std::string& list, const Json& item) {
    if (list == "images") {
      const auto id = field<int64_t>(name, "an image", item, "id");
      require(places.emplace(id, rows.size()).second, ErrorKind::data, "{}: two images of id {}", printable(name), id);
      rows.push_back({inside(images, field<std::string>(name, "an image", item, "file_name"), name), {}});
    } else if (list == "annotations") {
      sentences.emplace_back(field<int64_t>(name, "an annotation", item, "image_id"),
                             field<std::string>(name, "an annotation", item, "caption"));
    }
  });
  for (auto& [id, caption] : sentences) {
    const auto place = places.find(id);
    require(place != places.end(), ErrorKind::data, "{}: a caption of image {}, which is not listed", printable(name),
            id);
    rows[place->second].captions.push_back(std::move(caption));
  }
  std::erase_if(rows, [](const CaptionRow& row) { return row.captions.empty(); });
  require(!rows.empty(), ErrorKind::data, "{}: no captions", printable(name));
  return std::make_unique<FileCaptions>(std::move(rows));
}

std::unique_ptr<CaptionFiles> open_karpathy_captions(const fs::path& file, const fs::path& images,
                                                     const std::vector<std::string>& splits) {
  const std::string name = file.string();
  std::vector<CaptionRow> rows;
  read_json_items(name, [&](const std::string& list, const Json& item) {
    if (list != "images") return;
    if (std::ranges::count(splits, field<std::string>(name, "an image", item, "split")) == 0) return;
    const auto picture = field<std::string>(name, "an image", item, "filename");
    const fs::path folder = item.contains("filepath") ? field<std::string>(name, "an image", item, "filepath") : "";
    CaptionRow row{inside(images, (folder / picture).string(), name), {}};
    require(item.contains("sentences") && item["sentences"].is_array(), ErrorKind::data,
            "{}: an image without sentences", printable(name));
    for (const Json& sentence : item["sentences"]) {
      require(sentence.is_object(), ErrorKind::data, "{}: a sentence that is no object", printable(name));
      row.captions.push_back(field<std::string>(name, "a sentence", sentence, "raw"));
    }
    if (!row.captions.empty()) rows.push_back(std::move(row));
  });
  require(!rows.empty(), ErrorKind::data, "{}: no image of the splits {}", printable(name), fmt::join(splits, ", "));
  return std::make_unique<FileCaptions>(std::move(rows));
}

std::unique_ptr<CaptionFiles> open_caption_files(const fs::path& file, const fs::path& images,
                                                 const std::vector<std::string>& splits) {
  bool karpathys = false;
  read_json_items(file.string(), [&](const std::string& list, const Json& item) {
    karpathys = karpathys || (list == "images" && item.is_object() && item.contains("sentences"));
  });
  return karpathys ? open_karpathy_captions(file, images, splits) : open_coco_captions(file, images);
}

}  // namespace fovea
