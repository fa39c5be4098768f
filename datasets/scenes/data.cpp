#include "fovea/datasets/scenes/data.h"

#include "fovea/datasets/scenes/captions.h"
#include "fovea/datasets/scenes/nouns.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

using scenes::Scene;

// In the order in which they were set on the picture.
std::vector<Thing> things_of(const Scene& scene) {
  std::vector<Thing> things;
  for (size_t g = 0; g < scene.placed.size(); ++g) {
    const auto label = static_cast<int64_t>(scene.plan.groups[g].noun);
    for (const scenes::Placed& placed : scene.placed[g]) things.push_back({.label = label, .box = placed.box});
  }
  return things;
}

// Both kinds of data over the same scenes.
class SceneSource {
 public:
  SceneSource(std::shared_ptr<const scenes::World> world, const SceneData& data)
      : world_(std::move(world)), data_(data) {
    require(data.count > 0 && data.side > 0, ErrorKind::usage, "scenes: count {} and side {} must be positive",
            data.count, data.side);
  }
  Scene draw(int64_t index) const { return world_->draw(data_.split, static_cast<uint64_t>(index), data_.side); }
  scenes::Plan plan(int64_t index) const { return scenes::World::plan(data_.split, static_cast<uint64_t>(index)); }
  int64_t size() const { return data_.count; }
  bool endless() const { return data_.endless; }
  static int64_t classes() { return std::ssize(scenes::nouns()); }

 private:
  std::shared_ptr<const scenes::World> world_;
  SceneData data_;
};

class SceneThings : public ThingsDataset {
 public:
  explicit SceneThings(SceneSource source) : source_(std::move(source)) {}
  int64_t size() const override { return source_.size(); }
  int64_t classes() const override { return SceneSource::classes(); }
  bool endless() const override { return source_.endless(); }
  PictureOfThings get(int64_t index) const override {
    Scene scene = source_.draw(index);
    return {.image = std::move(scene.image), .things = things_of(scene)};
  }

 private:
  SceneSource source_;
};

class SceneCaptions : public CaptionDataset {
 public:
  explicit SceneCaptions(SceneSource source) : source_(std::move(source)) {}
  int64_t size() const override { return source_.size(); }
  int64_t classes() const override { return SceneSource::classes(); }
  bool endless() const override { return source_.endless(); }
  CaptionedImage get(int64_t index) const override {
    Scene scene = source_.draw(index);
    return {.image = std::move(scene.image),
            .captions = captions_of(scene.plan),
            .things = things_of(scene),
            .mentions = mentions_of(scene.plan)};
  }
  std::vector<std::string> captions(int64_t index) const override { return captions_of(source_.plan(index)); }

 private:
  SceneSource source_;
};

}  // namespace

std::unique_ptr<ThingsDataset> scene_things(std::shared_ptr<const scenes::World> world, const SceneData& data) {
  return std::make_unique<SceneThings>(SceneSource(std::move(world), data));
}

std::unique_ptr<CaptionDataset> scene_captions(std::shared_ptr<const scenes::World> world, const SceneData& data) {
  return std::make_unique<SceneCaptions>(SceneSource(std::move(world), data));
}

std::unique_ptr<CaptionDataset> scene_captions(std::shared_ptr<const scenes::World> world, scenes::Split split,
                                               int64_t count) {
  return scene_captions(std::move(world), {.split = split, .count = count});
}

std::vector<std::string> scene_labels() {
  std::vector<std::string> labels;
  for (const scenes::Noun& noun : scenes::nouns()) labels.emplace_back(noun.singular);
  return labels;
}

}  // namespace fovea
