// A small dataset of things: one or two squares of four colours on grey noise.
#pragma once

#include <algorithm>
#include <array>

#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/random.h"

namespace fovea::test {

constexpr std::array<const char*, 4> square_colours = {"red", "green", "blue", "yellow"};

// 16 × 16 pixels; squares of 5 to 7 in the left half, and maybe one of another colour in the right half.
inline PictureOfThings draw_squares(int64_t index) {
  constexpr uint8_t rgb[4][3] = {{230, 30, 30}, {30, 200, 60}, {40, 60, 230}, {230, 220, 40}};
  PictureOfThings picture{.image = {16, 16, 3, {}}, .things = {}};
  Random random(23, static_cast<uint64_t>(index));
  for (int i = 0; i < 16 * 16 * 3; ++i) picture.image.pixels.push_back(static_cast<uint8_t>(90 + random.below(60)));
  const int64_t first = random.below(4), second = (first + 1 + random.below(3)) % 4, count = 1 + random.below(2);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = i == 0 ? first : second, side = 5 + random.below(3);
    const Region box = {8 * i + random.below(9 - side), random.below(17 - side), side, side};
    picture.things.push_back({.label = label, .box = box});
    for (int64_t y = box.top; y < box.top + side; ++y) {
      for (int64_t x = box.left; x < box.left + side; ++x) std::copy_n(rgb[label], 3, picture.image.row(y) + 3 * x);
    }
  }
  return picture;
}

class Squares : public ThingsDataset {
 public:
  explicit Squares(int64_t size, int64_t first = 0, bool endless = false)
      : size_(size), first_(first), endless_(endless) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 4; }
  bool endless() const override { return endless_; }
  PictureOfThings get(int64_t index) const override { return draw_squares(first_ + index); }

 private:
  int64_t size_, first_;
  bool endless_;
};

// "a red square", "a red square left of a blue one", in two wordings each; what they mention is known.
class SquareCaptions : public CaptionDataset {
 public:
  explicit SquareCaptions(int64_t size, int64_t first = 0) : size_(size), first_(first) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 4; }
  std::vector<std::string> captions(int64_t index) const override {
    const std::string sentence = said(draw_squares(first_ + index).things);
    return {sentence, "there is " + sentence};
  }
  CaptionedImage get(int64_t index) const override {
    PictureOfThings picture = draw_squares(first_ + index);
    CaptionedImage result{.image = std::move(picture.image), .captions = captions(index), .things = picture.things};
    for (size_t c = 0; c < 2; ++c) {
      size_t from = 0;
      for (size_t i = 0; i < picture.things.size(); ++i) {
        const std::string colour = square_colours[static_cast<size_t>(picture.things[i].label)];
        const size_t begin = result.captions[c].find(colour, from);
        from = begin + colour.size();
        result.mentions.push_back({.caption = c, .begin = begin, .end = from, .things = {i}, .phrase = begin});
      }
    }
    return result;
  }

 private:
  static std::string said(const std::vector<Thing>& things) {
    std::string text = std::string("a ") + square_colours[static_cast<size_t>(things[0].label)] + " square";
    if (things.size() > 1) {
      text += std::string(" left of a ") + square_colours[static_cast<size_t>(things[1].label)] + " one";
    }
    return text;
  }

  int64_t size_, first_;
};

inline PreprocessOptions squares_preprocessing(int64_t side = 16) {
  return {.height = side,
          .width = side,
          .crop_pct = 1,
          .crop_mode = CropMode::squash,
          .interpolation = Interpolation::bilinear,
          .mean = {0.5, 0.5, 0.5},
          .std = {0.25, 0.25, 0.25}};
}

}  // namespace fovea::test
