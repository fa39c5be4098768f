#include "fovea/datasets/scenes/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fovea/datasets/scenes/nouns.h"

namespace fovea::scenes {
namespace {

// After Steele, Lea and Flood's SplitMix: neighbours scatter.
uint64_t scatter(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool is_held_out(const Plan& plan) {
  for (const Group& group : plan.groups) {
    if (group.colour >= 0 && held_out_colour(group.noun, group.colour)) return true;
  }
  return plan.groups.size() == 2 &&
         (held_out(plan.groups[0].noun, plan.relation) || held_out(plan.groups[1].noun, inverse(plan.relation)));
}

size_t draw_noun(Dice& dice) {
  const auto emoji = static_cast<int64_t>(first_article());
  if (dice.unit() < 0.15) return first_article() + static_cast<size_t>(dice.below(std::ssize(nouns()) - emoji));
  return static_cast<size_t>(dice.below(emoji));
}

Group draw_group(Dice& dice, int64_t most) {
  Group group;
  group.noun = draw_noun(dice);
  if (dice.unit() < 0.5) group.colour = dice.below(std::ssize(colours));
  group.poses.resize(
      static_cast<size_t>(1 + std::min(dice.below(most), dice.below(most))));  // few more often than many
  return group;
}

// Where the centres of a group lie.
struct Field {
  double left, top, right, bottom;
};
constexpr double kHalf = kSide / 2.0;
constexpr Field kPicture = {0, 0, kSide, kSide};

// Of the first group; the second has the other half.
Field first_half(Relation relation) {
  switch (relation) {
    case Relation::left_of:
      return {0, 0, kHalf, kSide};
    case Relation::right_of:
      return {kHalf, 0, kSide, kSide};
    case Relation::above:
      return {0, 0, kSide, kHalf};
    default:
      return {0, kHalf, kSide, kSide};
  }
}

bool crowded(const Pose& pose, const std::vector<Pose>& others) {
  return std::any_of(others.begin(), others.end(), [&](const Pose& other) {
    return std::hypot(pose.x - other.x, pose.y - other.y) < 0.4 * (pose.size + other.size);
  });
}

// Sizes are parts of `room`.
void place(Group& group, const Field& field, double room, std::vector<Pose>& taken, Dice& dice) {
  const double largest = group.poses.size() == 1 ? 0.75 : 0.5;
  for (Pose& pose : group.poses) {
    double size = room * dice.between(0.4, largest);
    do {
      const double edge = 0.5 * size;
      pose = {.x = dice.between(field.left + edge, field.right - edge),
              .y = dice.between(field.top + edge, field.bottom - edge),
              .size = size,
              .angle = dice.between(-0.45, 0.45)};
      size = std::max(0.97 * size, 56.0);
    } while (crowded(pose, taken));
    taken.push_back(pose);
  }
}

Plan draw_crowd(Dice& dice) {
  Plan plan;
  std::vector<Pose> taken;
  while (plan.groups.size() < kCrowd) {
    Group group = draw_group(dice, 1);
    const bool known = std::ranges::count(plan.groups, group.noun, &Group::noun) > 0;
    if (known || is_held_out({.groups = {group}})) continue;
    place(group, kPicture, kHalf, taken, dice);
    plan.groups.push_back(group);
  }
  return plan;
}

}  // namespace

std::string file_name(Split split, uint64_t index) {
  return fmt::format("{}_{:06}.png", split_names[static_cast<size_t>(split)], index);
}

Relation inverse(Relation relation) {
  constexpr Relation inverses[] = {Relation::right_of, Relation::left_of, Relation::below, Relation::above};
  return inverses[static_cast<size_t>(relation)];
}

bool held_out(size_t noun, Relation relation) {
  return scatter(noun * 4 + static_cast<uint64_t>(relation)) % 10 == 0;
}

bool held_out_colour(size_t noun, int64_t colour) {
  return scatter(1'000'000 + noun * colours.size() + static_cast<uint64_t>(colour)) % 10 == 0;
}

Plan draw_plan(Split split, Dice& dice) {
  if (split == Split::crowded) return draw_crowd(dice);
  Plan plan;
  do {
    plan = {.groups = {draw_group(dice, 4)}, .relation = static_cast<Relation>(dice.below(4))};
    const auto left = 4 - std::ssize(plan.groups[0].poses);
    if (left > 0 && dice.unit() < 0.7) plan.groups.push_back(draw_group(dice, std::min<int64_t>(left, 3)));
  } while ((plan.groups.size() == 2 && plan.groups[0].noun == plan.groups[1].noun) ||
           is_held_out(plan) != (split == Split::unseen));
  std::vector<Pose> taken;
  if (plan.groups.size() == 1) {
    place(plan.groups[0], kPicture, kSide, taken, dice);
  } else {
    place(plan.groups[0], first_half(plan.relation), kHalf, taken, dice);
    place(plan.groups[1], first_half(inverse(plan.relation)), kHalf, taken, dice);
  }
  return plan;
}

}  // namespace fovea::scenes
