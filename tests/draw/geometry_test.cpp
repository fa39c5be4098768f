#include "fovea/vision/image/geometry.h"

#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

struct Case {
  int64_t width, height;
  PreprocessOptions options;
  int64_t resized_width, resized_height, left, top;  // worked out by hand
};

// By timm's rules: sizes are cut (square centre), or rounded with ties to even; so is the start of the crop.
TEST(CropGeometry, OfEveryMode) {
  const PreprocessOptions square{.crop_pct = 0.875};
  const std::vector<Case> cases = {
      {500, 300, square, 426, 256, 101, 16},
      {300, 500, square, 256, 426, 16, 101},
      {256, 256, square, 256, 256, 16, 16},
      {451, 300, square, 384, 256, 80, 16},  // 384.85 is cut
      {456, 300, square, 389, 256, 82, 16},  // 82.5 to the even number
      {459, 300, square, 391, 256, 84, 16},  // 83.5 too
      {28, 28, {.height = 28, .width = 28, .crop_pct = 1}, 28, 28, 0, 0},
      {500, 300, {.crop_pct = 0.9, .crop_mode = CropMode::squash}, 248, 248, 12, 12},
      {500, 300, {.crop_pct = 1, .crop_mode = CropMode::border}, 224, 134, 0, -45},  // 134.4; 90 rows of border
      {300, 500, {.crop_pct = 1, .crop_mode = CropMode::border}, 134, 224, -45, 0},
      {400, 400, {.height = 112, .width = 224, .crop_pct = 1}, 224, 224, 0, 56},
      {4000, 1, {.crop_pct = 1, .crop_mode = CropMode::border}, 224, 1, 0, -111},
  };
  for (const Case& c : cases) {
    const CropGeometry geometry = crop_geometry(c.width, c.height, c.options);
    EXPECT_EQ(geometry.resized_width, c.resized_width) << c.width << "x" << c.height;
    EXPECT_EQ(geometry.resized_height, c.resized_height) << c.width << "x" << c.height;
    EXPECT_EQ(geometry.left, c.left) << c.width << "x" << c.height;
    EXPECT_EQ(geometry.top, c.top) << c.width << "x" << c.height;
    EXPECT_EQ(geometry.width, c.options.width);
    EXPECT_EQ(geometry.height, c.options.height);
  }
}

TEST(CropGeometry, TheCropInPixelsOfTheOriginal) {
  const Rectangle center = crop_geometry(1000, 512, {.crop_pct = 0.875}).in_original();  // resized to 500×256
  EXPECT_DOUBLE_EQ(center.left, 276);
  EXPECT_DOUBLE_EQ(center.top, 32);
  EXPECT_DOUBLE_EQ(center.width, 448);
  EXPECT_DOUBLE_EQ(center.height, 448);
  const Rectangle border = crop_geometry(448, 224, {.crop_pct = 1, .crop_mode = CropMode::border}).in_original();
  EXPECT_DOUBLE_EQ(border.left, 0);
  EXPECT_DOUBLE_EQ(border.top, -112);
  EXPECT_DOUBLE_EQ(border.width, 448);
  EXPECT_DOUBLE_EQ(border.height, 448);
}

TEST(CropGeometry, RefusesSizesThatCannotBe) {
  EXPECT_ERROR(crop_geometry(0, 10, {}), ErrorKind::usage, "a picture of 0x10");
  EXPECT_ERROR(crop_geometry(10, 10, {.height = 0}), ErrorKind::usage, "an input of 224x0");
  EXPECT_ERROR(crop_geometry(10, 10, {.crop_pct = 0}), ErrorKind::usage, "crop_pct 0");
  EXPECT_ERROR(crop_geometry(10, 10, {.crop_pct = 1.5}), ErrorKind::usage, "crop_pct 1.5");
}

}  // namespace
}  // namespace fovea
