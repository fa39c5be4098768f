// Generated scenes: what is said of them is what is drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "fovea/datasets/scenes/captions.h"
#include "fovea/datasets/scenes/compose.h"
#include "fovea/datasets/scenes/nouns.h"
#include "fovea/datasets/scenes/world.h"
#include "fovea/tests/support/error_of.h"

namespace fovea::scenes {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

const WorldFiles usual = {.font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
                          .photographs = FOVEA_PHOTOGRAPHS,
                          .clothes = "/usr/share/datasets/fashion-mnist"};

const World& world() {
  static const World one(usual);
  return one;
}

// Unicode's own names: "1F34E ; fully-qualified # 🍎 E0.6 red apple".
std::map<char32_t, std::string> unicode_names() {
  std::map<char32_t, std::string> names;
  std::ifstream file("/usr/share/unicode/emoji/emoji-test.txt");
  for (std::string line; std::getline(file, line);) {
    const size_t version = line.find(" E", line.find('#') + 1);
    if (line.find("fully-qualified") == std::string::npos || version == std::string::npos) continue;
    std::istringstream words(line);
    uint32_t code = 0;
    words >> std::hex >> code;
    names.emplace(code, line.substr(line.find(' ', version + 1) + 1));
  }
  return names;
}

TEST(Nouns, AreWhatUnicodeCallsTheirEmoji) {
  const auto names = unicode_names();
  ASSERT_GT(names.size(), 1000);
  const std::map<std::string, std::string> renamed = {
      {"bee", "honeybee"},         {"ladybird", "lady beetle"}, {"car", "automobile"}, {"suitcase", "luggage"},
      {"football", "soccer ball"}, {"torch", "flashlight"},     {"tie", "necktie"}};
  std::set<std::string_view> seen;
  for (const Noun& noun : nouns().first(first_article())) {
    const auto found = renamed.find(std::string(noun.singular));
    std::string expected = found == renamed.end() ? std::string(noun.singular) : found->second;
    if (noun.singular == "bar of soap") expected = "soap";
    ASSERT_TRUE(names.contains(noun.code_point)) << noun.singular;
    EXPECT_THAT(names.at(noun.code_point), HasSubstr(expected));
    EXPECT_TRUE(seen.insert(noun.singular).second) << noun.singular << " stands twice";
  }
  EXPECT_GE(first_article(), 200);
  EXPECT_EQ(nouns().size() - first_article(), 10);
}

TEST(Nouns, TakeArticlesNumbersAndPlurals) {
  const auto phrase = [](std::string_view noun, std::string_view colour, int64_t count) {
    return noun_phrase(*std::ranges::find(nouns(), noun, &Noun::singular), colour, count);
  };
  EXPECT_EQ(phrase("cat", "", 1), "a cat");
  EXPECT_EQ(phrase("elephant", "", 1), "an elephant");
  EXPECT_EQ(phrase("elephant", "red", 1), "a red elephant");
  EXPECT_EQ(phrase("cat", "orange", 1), "an orange cat");
  EXPECT_EQ(phrase("unicorn", "", 1), "a unicorn");
  EXPECT_EQ(phrase("wolf", "", 3), "three wolves");
  EXPECT_EQ(phrase("apple", "blue", 4), "four blue apples");
  EXPECT_EQ(phrase("pair of trousers", "", 2), "two pairs of trousers");
}

TEST(Captions, SayTheSameInEveryWording) {
  const auto noun = [](std::string_view name) {
    return static_cast<size_t>(std::ranges::find(nouns(), name, &Noun::singular) - nouns().begin());
  };
  Plan plan{.groups = {{.noun = noun("apple"), .colour = 0, .poses = std::vector<Pose>(2)}}};
  EXPECT_THAT(captions_of(plan),
              ElementsAre("two red apples", "there are two red apples", "a picture of two red apples"));
  plan.groups.push_back({.noun = noun("cat"), .colour = -1, .poses = std::vector<Pose>(1)});
  EXPECT_THAT(captions_of(plan),
              ElementsAre("two red apples to the left of a cat", "there are two red apples to the left of a cat",
                          "two red apples left of a cat", "there are two red apples left of a cat",
                          "a cat to the right of two red apples", "there is a cat to the right of two red apples",
                          "a cat right of two red apples", "there is a cat right of two red apples"));
  plan.relation = Relation::below;
  EXPECT_EQ(captions_of(plan).front(), "two red apples below a cat");
  EXPECT_EQ(captions_of(plan).back(), "there is a cat over two red apples");
  plan.groups.push_back({.noun = noun("elephant"), .colour = 4, .poses = std::vector<Pose>(1)});
  EXPECT_THAT(captions_of(plan), ElementsAre("two red apples, a cat and a blue elephant"));
}

TEST(Captions, MentionsAreTheWordsOfTheirGroup) {
  const auto is_letter = [](char c) { return c != ' ' && c != ','; };
  for (uint64_t seed = 0; seed < 500; ++seed) {
    for (const Split split : {Split::train, Split::test, Split::unseen, Split::crowded}) {
      Dice dice(seed);
      const Plan plan = draw_plan(split, dice);
      const auto captions = captions_of(plan);
      const auto mentions = mentions_of(plan);
      ASSERT_EQ(mentions.size(), captions.size() * plan.groups.size());
      for (size_t i = 0; i < mentions.size(); ++i) {
        const Mention& mention = mentions[i];
        const size_t g = i % plan.groups.size();
        const Group& group = plan.groups[g];
        const std::string& caption = captions[mention.caption];
        ASSERT_EQ(mention.caption, i / plan.groups.size());
        const std::string phrase =
            noun_phrase(nouns()[group.noun], group.colour < 0 ? "" : colours[static_cast<size_t>(group.colour)].name,
                        std::ssize(group.poses));
        std::vector<std::string> said = {phrase};
        if (plan.groups.size() == 2 && mention.end == caption.size()) {  // with the relation that leads to it
          const Relation relation = g == 1 ? plan.relation : inverse(plan.relation);
          said.clear();
          for (const std::string_view words : words_of(relation)) said.push_back(fmt::format("{} {}", words, phrase));
        }
        EXPECT_THAT(said, ::testing::Contains(caption.substr(mention.begin, mention.end - mention.begin)));
        EXPECT_EQ(caption.substr(mention.phrase, mention.end - mention.phrase), phrase);
        EXPECT_TRUE(mention.begin == 0 || !is_letter(caption[mention.begin - 1])) << caption;
        EXPECT_TRUE(mention.end == caption.size() || !is_letter(caption[mention.end])) << caption;
        size_t before = 0;
        for (size_t other = 0; other < g; ++other) before += plan.groups[other].poses.size();
        ASSERT_EQ(mention.things.size(), group.poses.size());
        for (size_t k = 0; k < mention.things.size(); ++k) EXPECT_EQ(mention.things[k], before + k);
        for (size_t other = i - g; other < i; ++other) {  // no two mentions of a sentence share words
          EXPECT_TRUE(mentions[other].end <= mention.begin || mention.end <= mentions[other].begin) << caption;
        }
      }
    }
  }
}

// −1: the first lies to the left, or above.
bool holds(Relation relation, const Pose& a, const Pose& b) {
  switch (relation) {
    case Relation::left_of:
      return a.x < b.x;
    case Relation::right_of:
      return a.x > b.x;
    case Relation::above:
      return a.y < b.y;
    default:
      return a.y > b.y;
  }
}

TEST(Plan, RelationsHoldAndNothingIsCrowded) {
  std::set<int64_t> sizes;
  std::set<Relation> relations;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Dice dice(seed);
    const Plan plan = draw_plan(Split::train, dice);
    std::vector<Pose> all;
    for (const Group& group : plan.groups) all.insert(all.end(), group.poses.begin(), group.poses.end());
    ASSERT_LE(all.size(), 4);
    sizes.insert(std::ssize(all));
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_GE(all[i].x - all[i].size / 2, 0);
      EXPECT_LE(all[i].y + all[i].size / 2, kSide);
      for (size_t j = 0; j < i; ++j) {
        EXPECT_GE(std::hypot(all[i].x - all[j].x, all[i].y - all[j].y), 0.4 * (all[i].size + all[j].size));
      }
    }
    if (plan.groups.size() == 1) continue;
    relations.insert(plan.relation);
    EXPECT_NE(plan.groups[0].noun, plan.groups[1].noun);
    for (const Pose& a : plan.groups[0].poses) {
      for (const Pose& b : plan.groups[1].poses) EXPECT_TRUE(holds(plan.relation, a, b)) << seed;
    }
  }
  EXPECT_EQ(sizes.size(), 4);
  EXPECT_EQ(relations.size(), 4);
}

TEST(Plan, CrowdsAreOfDifferentThingsApart) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    const Plan plan = draw_plan(Split::crowded, dice);
    ASSERT_EQ(plan.groups.size(), kCrowd);
    std::set<size_t> names;
    std::vector<Pose> all;
    for (const Group& group : plan.groups) {
      ASSERT_EQ(group.poses.size(), 1);
      names.insert(group.noun);
      EXPECT_FALSE(group.colour >= 0 && held_out_colour(group.noun, group.colour));
      const Pose& pose = group.poses[0];
      EXPECT_TRUE(pose.x >= pose.size / 2 && pose.y + pose.size / 2 <= kSide);
      for (const Pose& other : all) {
        EXPECT_GE(std::hypot(pose.x - other.x, pose.y - other.y), 0.4 * (pose.size + other.size));
      }
      all.push_back(pose);
    }
    EXPECT_EQ(names.size(), kCrowd);
  }
}

int64_t held_pairs(const Plan& plan) {
  int64_t count = 0;
  for (const Group& group : plan.groups)
    count += group.colour >= 0 && held_out_colour(group.noun, group.colour) ? 1 : 0;
  if (plan.groups.size() == 1) return count;
  return count + (held_out(plan.groups[0].noun, plan.relation) ? 1 : 0) +
         (held_out(plan.groups[1].noun, inverse(plan.relation)) ? 1 : 0);
}

TEST(Plan, OnlyTheUnseenSplitShowsPairsThatAreHeldOut) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    for (const Split split : {Split::train, Split::test, Split::unseen}) {
      Dice dice(seed);
      EXPECT_EQ(held_pairs(draw_plan(split, dice)) > 0, split == Split::unseen) << seed;
    }
  }
  int64_t held = 0;
  for (size_t noun = 0; noun < nouns().size(); ++noun) held += held_out(noun, Relation::above) ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(held) / static_cast<double>(nouns().size()), 0.1, 0.05);
}

// A grey square of 10 pixels enlarged to 100.
const Cutout square = {.width = 10, .height = 10, .rgba = [] {
                         std::vector<uint8_t> rgba;
                         for (int i = 0; i < 100; ++i) rgba.insert(rgba.end(), {200, 200, 200, 255});
                         return rgba;
                       }()};

TEST(Compose, SetsThingsWithColourAndShadow) {
  Image picture{kSide, kSide, 3, std::vector<uint8_t>(kSide * kSide * 3, 100)};
  std::vector<int16_t> owners(kSide * kSide, -1);
  const int64_t covered = set_on(picture, square, {.x = 200, .y = 150, .size = 100}, nullptr, owners, 7);
  EXPECT_NEAR(static_cast<double>(covered), 100 * 100, 500);
  EXPECT_EQ(covered, std::ranges::count(owners, 7));
  const auto pixel = [&](int64_t x, int64_t y) { return picture.row(y)[3 * x]; };
  EXPECT_EQ(pixel(200, 150), 200);
  EXPECT_EQ(owners[150 * kSide + 200], 7);
  EXPECT_LT(pixel(253, 150), 97);   // the shadow lies to the right and below
  EXPECT_EQ(pixel(140, 150), 100);  // and not to the left
  EXPECT_EQ(pixel(20, 20), 100);
  const Colour red = colours[0];
  set_on(picture, square, {.x = 200, .y = 150, .size = 60, .angle = 0.4}, &red, owners, 8);
  const uint8_t* middle = picture.row(150) + 3 * 200;
  EXPECT_GT(middle[0], 180);
  EXPECT_LT(middle[1], 80);
  EXPECT_LT(std::ranges::count(owners, 7), covered - 3000);  // the first is partly behind the second now
}

TEST(Cutout, ClothesKeepTheirDarkInsides) {
  // A bright ring, 5 … 22, with a black hole, 10 … 17.
  std::vector<uint8_t> grey(28 * 28, 0);
  for (int y = 5; y < 23; ++y) {
    for (int x = 5; x < 23; ++x) {
      const bool hole = x >= 10 && x < 18 && y >= 10 && y < 18;
      grey[static_cast<size_t>(28 * y + x)] = hole ? 0 : 200;
    }
  }
  const Cutout ring = cut_article(grey, 28);
  EXPECT_NEAR(static_cast<double>(ring.width), 18 * 5, 5);
  EXPECT_EQ(ring.at(ring.width / 2, ring.height / 2)[3], 255);
  EXPECT_LT(ring.at(ring.width / 2, ring.height / 2)[0], 20);
  EXPECT_GT(ring.at(8, ring.height / 2)[0], 180);
}

TEST(World, DrawsTheSameSceneAlwaysAndInAnyThread) {
  for (const Split split : {Split::train, Split::test, Split::unseen, Split::crowded}) {
    const Scene once = world().draw(split, 5);
    Scene again;
    std::thread([&] { again = world().draw(split, 5); }).join();
    EXPECT_EQ(once.image.pixels, again.image.pixels);
    EXPECT_EQ(captions_of(once.plan), captions_of(again.plan));
    EXPECT_NE(once.image.pixels, world().draw(split, 6).image.pixels);
  }
  const auto first = [](Split split) { return world().draw(split, 5).plan.groups[0].poses[0].x; };
  EXPECT_NE(first(Split::train), first(Split::test));  // another placement, not another photograph alone
}

TEST(World, BoxesHoldTheirThings) {
  for (uint64_t index = 0; index < 40; ++index) {
    const Scene scene = world().draw(Split::train, index);
    ASSERT_EQ(scene.placed.size(), scene.plan.groups.size());
    for (size_t g = 0; g < scene.placed.size(); ++g) {
      for (size_t i = 0; i < scene.placed[g].size(); ++i) {
        const Placed& placed = scene.placed[g][i];
        const Pose& pose = scene.plan.groups[g].poses[i];
        const Region& box = placed.box;
        EXPECT_TRUE(box.left <= pose.x && pose.x <= box.left + box.width) << index;
        EXPECT_TRUE(box.top <= pose.y && pose.y <= box.top + box.height) << index;
        EXPECT_LE(std::max(box.width, box.height), 1.5 * pose.size);
        EXPECT_GE(std::max(box.width, box.height), 0.7 * pose.size);
        EXPECT_GT(placed.visible, 0.5);
        EXPECT_LE(placed.visible, 1);
      }
    }
  }
}

// The third photograph stands under test scenes alone: the only one of colour here.
TEST(World, TestScenesStandOnOtherPhotographs) {
  const auto folder = std::filesystem::temp_directory_path() / "fovea_scenes_test";
  std::filesystem::create_directories(folder);
  for (const auto& [name, source] :
       {std::pair{"a.jpg", "camera.jpg"}, {"b.jpg", "brick.jpg"}, {"c.jpg", "coffee.jpg"}}) {
    std::filesystem::copy_file(std::filesystem::path(FOVEA_PHOTOGRAPHS) / source, folder / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  WorldFiles files = usual;
  files.photographs = folder;
  const World other(files);
  const auto redness = [&](Split split, uint64_t index) {
    const Scene scene = other.draw(split, index);
    double sum = 0;
    for (int64_t x = 0; x < kSide; ++x) sum += scene.image.row(0)[3 * x] - scene.image.row(0)[3 * x + 2];
    return sum / kSide;
  };
  for (uint64_t index = 0; index < 10; ++index) {
    EXPECT_LT(redness(Split::train, index), 12) << index;
    EXPECT_GT(redness(Split::test, index), 25) << index;
  }
  std::filesystem::remove_all(folder);
}

// Draws are told apart by what they do to two flat backgrounds of known colours.
TEST(Compose, BackgroundsOfTrainingVary) {
  int64_t mixed = 0, negative = 0;
  std::set<std::array<int, 3>> orders;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Image background{2, 1, 3, {110, 128, 146, 60, 60, 60}};
    const Image other{2, 1, 3, {110, 128, 146, 128, 128, 128}};
    Dice dice(seed);
    vary_background(background, other, dice);
    const auto& p = background.pixels;
    // The first pixel is the same in both: its middle channel stands still but for light, the others to both sides.
    std::array<int, 3> order = {0, 1, 2};
    std::sort(order.begin(), order.end(),
              [&](int a, int b) { return p[static_cast<size_t>(a)] < p[static_cast<size_t>(b)]; });
    const double middle = p[static_cast<size_t>(order[1])];
    const double contrast = (p[static_cast<size_t>(order[2])] - p[static_cast<size_t>(order[0])]) / 36.0;
    orders.insert(order);
    EXPECT_NEAR(middle, 128, 41);
    EXPECT_GT(contrast, 0.4);
    EXPECT_LT(contrast, 1.3);
    const double grey = (p[3] - middle) / contrast;  // −68 alone, 68 as a negative, towards 0 where it is mixed
    EXPECT_TRUE(p[3] == p[4] && p[4] == p[5]);
    negative += grey > 0 ? 1 : 0;
    mixed += std::abs(grey) < 60 ? 1 : 0;
  }
  EXPECT_EQ(orders.size(), 6);
  EXPECT_NEAR(static_cast<double>(negative), 400.0 / 3, 40);
  EXPECT_NEAR(static_cast<double>(mixed), 200, 40);
}

TEST(World, NamesTheFileThatIsMissing) {
  WorldFiles files = usual;
  files.font = "/nonesuch.ttf";
  EXPECT_THAT(error_of([&] { World{files}; }), HasSubstr("/nonesuch.ttf: no such font"));
  files.font = std::string(FOVEA_PHOTOGRAPHS) + "/coffee.jpg";
  EXPECT_THAT(error_of([&] { World{files}; }), HasSubstr("coffee.jpg: not a font"));
  files = usual;
  files.photographs = "/nonesuch";
  EXPECT_THAT(error_of([&] { World{files}; }), HasSubstr("/nonesuch: no such folder"));
}

}  // namespace
}  // namespace fovea::scenes
