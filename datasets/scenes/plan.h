// What a generated scene holds and where, before any pixel is drawn.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/datasets/scenes/dice.h"

namespace fovea::scenes {

constexpr int64_t kSide = 448;  // pixels of a scene
constexpr size_t kCrowd = 12;   // things of a crowded one

enum class Split {
  train,
  test,     // pairs as in training, other photographs, placements and clothes
  unseen,   // as test, and at least one pair of noun and colour or of noun and relation that training never shows
  crowded,  // as train, but a dozen different things in no relation: much to learn from each picture
};

constexpr std::array<std::string_view, 4> split_names = {"train", "test", "unseen", "crowded"};
constexpr bool is_training(Split split) {
  return split == Split::train || split == Split::crowded;
}
std::string file_name(Split split, uint64_t index);  // "test_000012.png"

enum class Relation { left_of, right_of, above, below };  // of the first group to the second
Relation inverse(Relation relation);

struct Colour {
  std::string_view name;
  std::array<float, 3> rgb;  // 0 … 255
};
constexpr std::array<Colour, 7> colours = {{{"red", {226, 45, 45}},
                                            {"orange", {240, 140, 30}},
                                            {"yellow", {242, 214, 50}},
                                            {"green", {60, 170, 70}},
                                            {"blue", {50, 100, 220}},
                                            {"purple", {140, 70, 190}},
                                            {"pink", {245, 150, 190}}}};

struct Pose {
  double x = 0;  // of the centre, pixels
  double y = 0;
  double size = 0;   // of the longer side, pixels
  double angle = 0;  // radians, clockwise
};

// One to four of the same thing.
struct Group {
  size_t noun = 0;
  int64_t colour = -1;  // −1: its own
  std::vector<Pose> poses;
};

struct Plan {
  std::vector<Group> groups;  // one, two in a relation, or a crowd
  Relation relation = Relation::left_of;
};

// Pairs that only Split::unseen shows, a tenth of all.
bool held_out(size_t noun, Relation relation);
bool held_out_colour(size_t noun, int64_t colour);

// One group of 1 … 4, or two of at most 4 together; of the crowded split kCrowd groups of one. Things of two groups lie
// apart in the direction of the relation; neighbours may cover a little of each other.
Plan draw_plan(Split split, Dice& dice);

}  // namespace fovea::scenes
