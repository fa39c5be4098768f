// Scenes: colour pictures of one to four things on a photograph, of which everything is known.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "fovea/datasets/scenes/cutout.h"
#include "fovea/datasets/scenes/plan.h"
#include "fovea/vision/image/image.h"
#include "fovea/vision/image/resize.h"
#include "fovea/vision/training/dataset.h"

namespace fovea::scenes {

// What one thing of the plan became.
struct Placed {
  Region box;          // around all of it, also what others cover, inside the picture
  double visible = 1;  // part that nothing covers
};

struct Scene {
  Image image;  // [side,side] RGB
  Plan plan;
  std::vector<std::vector<Placed>> placed;  // as plan.groups and their poses
};

struct WorldFiles {
  std::filesystem::path font;         // Noto Color Emoji
  std::filesystem::path photographs;  // a folder; sorted by name, every third serves testing alone
  std::filesystem::path clothes;      // a folder of Fashion-MNIST's IDX files
};

class World {
 public:
  // Throws Error(io) and Error(data) where a file is missing or wrong, with its name.
  explicit World(const WorldFiles& files);

  // The same picture at every call, from any thread. The splits share no placement. Another side than kSide draws the
  // same plan in so many pixels: nearly what the resized scene would be, at the cost of the smaller one.
  Scene draw(Split split, uint64_t index, int64_t side = kSide) const;
  // What it holds, without drawing it.
  static Plan plan(Split split, uint64_t index);

 private:
  struct Stock {
    std::vector<Image> photographs;
    std::shared_ptr<const Dataset> clothes;
    std::vector<std::vector<int64_t>> of_class;  // their places among the clothes
  };

  Cutout cutout_of(size_t noun, const Stock& stock, Dice& dice) const;
  const Stock& stock(Split split) const { return is_training(split) ? train_ : test_; }

  std::vector<Cutout> emoji_;
  Stock train_;
  Stock test_;
};

}  // namespace fovea::scenes
