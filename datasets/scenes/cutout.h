// Things with their outline, to be set on a photograph.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "fovea/vision/image/image.h"

namespace fovea::scenes {

// Straight (not premultiplied) RGBA, rows without padding, cut to what can be seen.
struct Cutout {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgba;

  const uint8_t* at(int64_t x, int64_t y) const { return rgba.data() + (y * width + x) * 4; }
};

// Emoji of a font with colour bitmaps (Noto Color Emoji), in the order of `code_points`. Throws Error(io) where the
// font cannot be read, Error(data) where it is none or lacks one of them.
std::vector<Cutout> draw_emoji(const std::filesystem::path& font, std::span<const char32_t> code_points);

// A bright thing on black, as Fashion-MNIST's: what is dark and reaches the border is left out, the rest is enlarged to
// 5 times its side. grey [side,side].
Cutout cut_article(std::span<const uint8_t> grey, int64_t side);

// The same with its longer side at most `longest` pixels, antialiased.
Cutout shrunk(const Cutout& cutout, int64_t longest);

}  // namespace fovea::scenes
