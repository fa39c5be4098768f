// Captions as COCO and Karpathy publish them, and of scenes.
#include "fovea/datasets/captions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "fovea/datasets/scenes/captions.h"
#include "fovea/tests/support/error_of.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

const fs::path photographs = FOVEA_PHOTOGRAPHS;

class CaptionFiles : public ::testing::Test {
 protected:
  CaptionFiles() { fs::create_directories(folder_); }
  ~CaptionFiles() override { fs::remove_all(folder_); }

  fs::path written(const std::string& text) const {
    std::ofstream(folder_ / "captions.json") << text;
    return folder_ / "captions.json";
  }

 private:
  fs::path folder_ = fs::temp_directory_path() / "fovea_captions_test";
};

TEST_F(CaptionFiles, CocoJoinsSentencesAndPictures) {
  const auto data = open_coco_captions(written(R"({"info": {"year": 2014, "images": [{"id": 9}]}, "annotations": [
      {"id": 1, "image_id": 42, "caption": "A cup."}, {"id": 2, "image_id": 7, "caption": "A cat."},
      {"id": 3, "image_id": 42, "caption": "Coffee \u2615."}],
      "licenses": [], "images": [{"id": 7, "file_name": "chelsea.jpg", "width": 1}, {"id": 8, "file_name": "no.jpg"},
      {"id": 42, "file_name": "coffee.jpg"}]})"),
                                       photographs);
  ASSERT_EQ(data->size(), 2);  // picture 8 has no sentence
  EXPECT_THAT(data->captions(0), ElementsAre("A cat."));
  const CaptionedImage cup = data->get(1);
  EXPECT_THAT(cup.captions, ElementsAre("A cup.", "Coffee ☕."));
  EXPECT_EQ(cup.image.width, 600);  // coffee.jpg
  EXPECT_EQ(cup.image.height, 400);
}

TEST_F(CaptionFiles, KarpathysSplitsAreKeptApart) {
  const auto file = written(R"({"dataset": "coco", "images": [
      {"filepath": ".", "filename": "coffee.jpg", "split": "train", "sentences": [{"tokens": ["a"], "raw": "A cup."}]},
      {"filename": "rocket.jpg", "split": "restval", "sentences": [{"raw": "A rocket."}, {"raw": "Night."}]},
      {"filename": "chelsea.jpg", "split": "test", "sentences": [{"raw": "A cat."}]}]})");
  EXPECT_EQ(open_karpathy_captions(file, photographs, {"train"})->size(), 1);
  const auto both = open_karpathy_captions(file, photographs, {"train", "restval"});
  ASSERT_EQ(both->size(), 2);
  EXPECT_THAT(both->get(1).captions, ElementsAre("A rocket.", "Night."));
  EXPECT_THAT(open_karpathy_captions(file, photographs, {"test"})->captions(0), ElementsAre("A cat."));
  EXPECT_THAT(error_of([&] { open_karpathy_captions(file, photographs, {"val"}); }),
              HasSubstr("captions.json: no image of the splits val"));
}

TEST_F(CaptionFiles, SaysWhatIsWrong) {
  const auto coco = [&](const std::string& text) {
    return error_of([&] { open_coco_captions(written(text), photographs); });
  };
  EXPECT_THAT(coco("[]"), HasSubstr("3: "));
  EXPECT_THAT(coco(R"({"images": [{"id": 1}]})"), HasSubstr("an image without file_name"));
  EXPECT_THAT(coco(R"({"images": [{"id": "x", "file_name": "a"}]})"), HasSubstr("an image with id \"x\""));
  EXPECT_THAT(coco(R"({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]})"),
              HasSubstr("two images of id 1"));
  EXPECT_THAT(coco(R"({"images": [], "annotations": [{"image_id": 3, "caption": "x"}]})"), HasSubstr("image 3"));
  EXPECT_THAT(coco(R"({"images": [{"id": 1, "file_name": "../secret"}]})"), HasSubstr("outside of its folder"));
  EXPECT_THAT(coco(R"({"images": [{"id": 1, "file_name": "/etc/passwd"}]})"), HasSubstr("outside of its folder"));
  EXPECT_THAT(coco("{\"images\": [{\"id\": 1"), HasSubstr("no valid JSON"));
  const auto missing = open_coco_captions(
      written(R"({"images": [{"id": 1, "file_name": "no.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}]})"),
      photographs);
  EXPECT_THAT(error_of([&] { missing->get(0); }), HasSubstr("4: " + (photographs / "no.jpg").string()));
}

TEST(SceneCaptions, AreThoseOfTheirScenes) {
  const auto world = std::make_shared<const scenes::World>(
      scenes::WorldFiles{.font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
                         .photographs = photographs,
                         .clothes = "/usr/share/datasets/fashion-mnist"});
  const auto data = scene_captions(world, scenes::Split::test, 12);
  ASSERT_EQ(data->size(), 12);
  for (int64_t i = 0; i < data->size(); ++i) {
    const auto scene = world->draw(scenes::Split::test, static_cast<uint64_t>(i));
    EXPECT_EQ(data->captions(i), captions_of(scene.plan));
    EXPECT_EQ(data->get(i).captions, data->captions(i));
    EXPECT_EQ(data->get(i).image.pixels, scene.image.pixels);
  }
}

}  // namespace
}  // namespace fovea
