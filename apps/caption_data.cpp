#include "fovea/apps/caption_data.h"

#include <algorithm>
#include <filesystem>

#include "fovea/datasets/scenes/data.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr int64_t kUsualScenes = 1000;
constexpr std::string_view kScenes = "scenes";

std::vector<CaptionData> scene_data(const CaptionDataOptions& options, bool draw) {
  std::vector<scenes::Split> splits = {scenes::Split::test, scenes::Split::unseen};
  if (options.data != kScenes) splits = {split_of("--data", options.data.substr(kScenes.size() + 1))};
  const auto world = draw ? open_world(options.files) : nullptr;
  std::vector<CaptionData> all;
  for (const scenes::Split split : splits) {
    const int64_t count = options.count.value_or(kUsualScenes);
    all.push_back({.name = fmt::format("scenes:{}", scenes::split_names[static_cast<size_t>(split)]),
                   .pictures = scene_captions(world, split, count),
                   .count = count,
                   .split = split});
  }
  return all;
}

}  // namespace

bool is_scene_data(const std::string& data) {
  return data == kScenes || data.starts_with(std::string(kScenes) + ":");
}

bool is_caption_data(const std::string& data) {
  return is_scene_data(data) || data.ends_with(".json");
}

std::string CaptionData::file_name(int64_t index) const {
  if (split) return scenes::file_name(*split, static_cast<uint64_t>(index));
  return std::filesystem::path(files->file(index)).filename().string();
}

std::vector<CaptionData> open_caption_data(const CaptionDataOptions& options, bool draw) {
  if (is_scene_data(options.data)) return scene_data(options, draw);
  require(!draw || !options.images.empty(), ErrorKind::usage, "--images DIR is required: the pictures of {}",
          printable(options.data));
  std::shared_ptr<const CaptionFiles> pictures = open_caption_files(options.data, options.images, options.splits);
  const int64_t count = std::min(options.count.value_or(pictures->size()), pictures->size());
  const CaptionFiles* files = pictures.get();
  return {{.name = options.data, .pictures = std::move(pictures), .count = count, .split = {}, .files = files}};
}

}  // namespace fovea
