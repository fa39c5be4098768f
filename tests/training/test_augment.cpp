// Augmentation: what may come out of a picture, and that the same stream gives the same picture.
#include "fovea/vision/training/augment.h"

#include <gtest/gtest.h>

#include <set>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

Image numbered(int64_t width, int64_t height, int64_t channels = 1) {
  Image image{.width = width, .height = height, .channels = channels};
  for (int64_t i = 0; i < width * height * channels; ++i) image.pixels.push_back(static_cast<uint8_t>(i));
  return image;
}

// Every picture that the options make of `image` in many draws.
std::set<std::vector<uint8_t>> outcomes(const Image& image, const AugmentOptions& options) {
  std::set<std::vector<uint8_t>> found;
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    Image changed = image;
    augment(changed, options, random);
    found.insert(changed.pixels);
  }
  return found;
}

TEST(Augment, DoesNothingByDefault) {
  const Image image = numbered(5, 3);
  EXPECT_EQ(outcomes(image, {}), (std::set<std::vector<uint8_t>>{image.pixels}));
}

TEST(Augment, FlipsLeftAndRightKeepingChannelsTogether) {
  EXPECT_EQ(
      outcomes(numbered(2, 2, 3), {.flip = true}),
      (std::set<std::vector<uint8_t>>{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8}}));
}

TEST(Augment, ShiftsWithReflectedBorders) {
  // Rows 0 1 2 / 3 4 5 moved by −1, 0, 1 along each axis; what comes in repeats the neighbour of the border.
  const auto found = outcomes(numbered(3, 2), {.shift = 1});
  EXPECT_EQ(found.size(), 6u);  // with two rows, one down and one up are the same
  EXPECT_TRUE(found.count({0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(found.count({1, 0, 1, 4, 3, 4}));
  EXPECT_TRUE(found.count({1, 2, 1, 4, 5, 4}));
  EXPECT_TRUE(found.count({3, 4, 5, 0, 1, 2}));
  EXPECT_TRUE(found.count({4, 3, 4, 1, 0, 1}));
  EXPECT_TRUE(found.count({4, 5, 4, 1, 2, 1}));
}

TEST(Augment, ErasesOneRectangleOfOneValue) {
  const Image image = numbered(12, 12, 1);
  Random random(8);
  int erased = 0;
  for (int i = 0; i < 400; ++i) {
    Image changed = image;
    augment(changed, {.erase = 0.5}, random);
    int64_t top = 12, bottom = -1, left = 12, right = -1, count = 0;
    for (int64_t y = 0; y < 12; ++y) {
      for (int64_t x = 0; x < 12; ++x) {
        if (changed.row(y)[x] == image.row(y)[x]) continue;
        top = std::min(top, y), bottom = std::max(bottom, y);
        left = std::min(left, x), right = std::max(right, x);
        ++count;
      }
    }
    if (count == 0) continue;
    ++erased;
    const int64_t area = (bottom - top + 1) * (right - left + 1);
    EXPECT_LE(area, 144 * 0.25 + 12);  // sides are rounded
    EXPECT_GE(count, area - 1);        // one pixel may have had the value before
    const uint8_t value =
        changed.row(top)[left] == image.row(top)[left] ? changed.row(bottom)[right] : changed.row(top)[left];
    for (int64_t y = top; y <= bottom; ++y) {
      for (int64_t x = left; x <= right; ++x) EXPECT_EQ(changed.row(y)[x], value);
    }
  }
  EXPECT_GT(erased, 150);
  EXPECT_LT(erased, 250);
}

TEST(Augment, IsAFunctionOfTheStream) {
  const AugmentOptions options{.flip = true, .shift = 2, .erase = 0.5};
  for (uint64_t stream = 0; stream < 50; ++stream) {
    Image a = numbered(9, 7, 3), b = a;
    Random random_a(1, stream), random_b(1, stream);
    augment(a, options, random_a);
    augment(b, options, random_b);
    EXPECT_EQ(a.pixels, b.pixels);
  }
}

TEST(Augment, RefusesWhatCannotWork) {
  EXPECT_THROW(check(AugmentOptions{.shift = -1}), Error);
  EXPECT_THROW(check(AugmentOptions{.erase = 1.5}), Error);
  Image image = numbered(3, 9);
  Random random(1);
  EXPECT_THROW(augment(image, {.shift = 3}, random), Error);
}

}  // namespace
}  // namespace fovea
