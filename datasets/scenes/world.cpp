#include "fovea/datasets/scenes/world.h"

#include <algorithm>
#include <cmath>

#include "fovea/datasets/idx_dataset.h"
#include "fovea/datasets/scenes/compose.h"
#include "fovea/datasets/scenes/nouns.h"
#include "fovea/modules/error.h"
#include "fovea/vision/image/decode.h"

namespace fovea::scenes {
namespace {

std::vector<std::vector<int64_t>> by_class(const Dataset& clothes) {
  std::vector<std::vector<int64_t>> places(nouns().size() - first_article());
  for (int64_t i = 0; i < clothes.size(); ++i) places[static_cast<size_t>(clothes.get(i).label)].push_back(i);
  return places;
}

std::vector<std::filesystem::path> sorted_files(const std::filesystem::path& folder) {
  require(std::filesystem::is_directory(folder), ErrorKind::io, "{}: no such folder", printable(folder.string()));
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto extension = entry.path().extension();
    if (extension == ".jpg" || extension == ".png") files.push_back(entry.path());
  }
  require(files.size() >= 3, ErrorKind::data, "{}: scenes need three photographs (.jpg, .png), {} are there",
          printable(folder.string()), files.size());
  std::sort(files.begin(), files.end());
  return files;
}

Dice dice_of(Split split, uint64_t index) {
  return split == Split::crowded ? Dice(~index) : Dice(index * 3 + static_cast<uint64_t>(split));
}

// The part of the picture that a cutout covers when nothing lies on it.
Region box_of(const std::vector<int16_t>& owners, int64_t side, int16_t mark) {
  int64_t left = side, top = side, right = 0, bottom = 0;
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t x = 0; x < side; ++x) {
      if (owners[static_cast<size_t>(y * side + x)] != mark) continue;
      left = std::min(left, x);
      top = std::min(top, y);
      right = std::max(right, x + 1);
      bottom = std::max(bottom, y + 1);
    }
  }
  return {left, top, std::max<int64_t>(right - left, 0), std::max<int64_t>(bottom - top, 0)};
}

}  // namespace

World::World(const WorldFiles& files) {
  std::vector<char32_t> code_points;
  for (const Noun& noun : nouns().first(first_article())) code_points.push_back(noun.code_point);
  emoji_ = draw_emoji(files.font, code_points);
  size_t index = 0;
  for (const auto& path : sorted_files(files.photographs)) {
    (index++ % 3 == 2 ? test_ : train_).photographs.push_back(load_image(path.string()));
  }
  const auto articles = static_cast<int64_t>(nouns().size() - first_article());
  IdxFolder clothes = open_idx_folder(files.clothes, articles);
  train_.clothes = std::move(clothes.train);
  test_.clothes = std::move(clothes.test);
  for (Stock* stock : {&train_, &test_}) stock->of_class = by_class(*stock->clothes);
}

Cutout World::cutout_of(size_t noun, const Stock& stock, Dice& dice) const {
  if (noun < first_article()) return emoji_[noun];
  const auto& places = stock.of_class[noun - first_article()];
  const Image article = stock.clothes->get(places[static_cast<size_t>(dice.below(std::ssize(places)))]).image;
  std::vector<uint8_t> grey;
  for (size_t i = 0; i < article.pixels.size(); i += 3) grey.push_back(article.pixels[i]);
  return cut_article(grey, article.width);
}

Plan World::plan(Split split, uint64_t index) {
  Dice dice = dice_of(split, index);
  return draw_plan(split, dice);
}

Scene World::draw(Split split, uint64_t index, int64_t side) const {
  require(side > 0, ErrorKind::usage, "scenes: side {} is not positive", side);
  const double scale = static_cast<double>(side) / static_cast<double>(kSide);
  Dice dice = dice_of(split, index);
  const Stock& stock = this->stock(split);
  Scene scene;
  scene.plan = draw_plan(split, dice);
  const auto background = [&] {
    return draw_background(stock.photographs[static_cast<size_t>(dice.below(std::ssize(stock.photographs)))], side,
                           dice);
  };
  scene.image = background();
  if (is_training(split)) vary_background(scene.image, background(), dice);
  std::vector<int16_t> owners(static_cast<size_t>(side * side), -1);
  std::vector<std::pair<Placed*, int64_t>> things;  // and the pixels each covered when it was set
  for (const Group& group : scene.plan.groups) scene.placed.emplace_back(group.poses.size());
  for (size_t g = 0; g < scene.plan.groups.size(); ++g) {
    const Group& group = scene.plan.groups[g];
    const Cutout cutout = cutout_of(group.noun, stock, dice);
    for (size_t i = 0; i < group.poses.size(); ++i) {
      const auto mark = static_cast<int16_t>(things.size());
      const Colour* colour = group.colour < 0 ? nullptr : &colours[static_cast<size_t>(group.colour)];
      Pose pose = group.poses[i];
      pose.x *= scale;
      pose.y *= scale;
      pose.size *= scale;
      const Cutout small = side < kSide ? shrunk(cutout, std::llround(pose.size)) : Cutout();
      const int64_t covered = set_on(scene.image, side < kSide ? small : cutout, pose, colour, owners, mark);
      scene.placed[g][i].box = box_of(owners, side, mark);
      things.emplace_back(&scene.placed[g][i], covered);
    }
  }
  for (size_t mark = 0; mark < things.size(); ++mark) {
    const auto left = std::count(owners.begin(), owners.end(), static_cast<int16_t>(mark));
    things[mark].first->visible =
        static_cast<double>(left) / static_cast<double>(std::max<int64_t>(things[mark].second, 1));
  }
  return scene;
}

}  // namespace fovea::scenes
