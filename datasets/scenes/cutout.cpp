#include "fovea/datasets/scenes/cutout.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/image/resize.h"

namespace fovea::scenes {
namespace {

struct Library {
  FT_Library handle = nullptr;
  Library() { require(FT_Init_FreeType(&handle) == 0, ErrorKind::internal, "FreeType does not start"); }
  ~Library() { FT_Done_FreeType(handle); }
};

struct Face {
  FT_Face handle = nullptr;
  Face(const Library& library, const std::filesystem::path& path) {
    require(std::filesystem::is_regular_file(path), ErrorKind::io, "{}: no such font", path.string());
    require(FT_New_Face(library.handle, path.c_str(), 0, &handle) == 0, ErrorKind::data, "{}: not a font",
            path.string());
  }
  ~Face() { FT_Done_Face(handle); }
};

Cutout cropped(const Cutout& whole) {
  int64_t left = whole.width, top = whole.height, right = 0, bottom = 0;
  for (int64_t y = 0; y < whole.height; ++y) {
    for (int64_t x = 0; x < whole.width; ++x) {
      if (whole.at(x, y)[3] < 128) continue;
      left = std::min(left, x);
      top = std::min(top, y);
      right = std::max(right, x + 1);
      bottom = std::max(bottom, y + 1);
    }
  }
  if (right <= left) return {};
  Cutout part{.width = right - left, .height = bottom - top, .rgba = {}};
  part.rgba.reserve(static_cast<size_t>(part.width * part.height * 4));
  for (int64_t y = top; y < bottom; ++y)
    part.rgba.insert(part.rgba.end(), whole.at(left, y), whole.at(left, y) + part.width * 4);
  return part;
}

// FreeType's rows are BGRA, premultiplied.
Cutout from_bitmap(const FT_Bitmap& bitmap) {
  Cutout cutout{.width = bitmap.width, .height = bitmap.rows, .rgba = {}};
  cutout.rgba.resize(static_cast<size_t>(cutout.width * cutout.height * 4));
  for (int64_t y = 0; y < cutout.height; ++y) {
    const uint8_t* from = bitmap.buffer + y * bitmap.pitch;
    uint8_t* to = cutout.rgba.data() + y * cutout.width * 4;
    for (int64_t x = 0; x < cutout.width; ++x, from += 4, to += 4) {
      const int alpha = from[3];
      for (int c = 0; c < 3; ++c) {
        to[c] = alpha == 0 ? 0 : static_cast<uint8_t>(std::min(255, (from[2 - c] * 255 + alpha / 2) / alpha));
      }
      to[3] = static_cast<uint8_t>(alpha);
    }
  }
  return cropped(cutout);
}

}  // namespace

std::vector<Cutout> draw_emoji(const std::filesystem::path& font, std::span<const char32_t> code_points) {
  const Library library;
  const Face face(library, font);
  require(face.handle->num_fixed_sizes > 0 && FT_Select_Size(face.handle, 0) == 0, ErrorKind::data,
          "{}: has no pictures of a fixed size", font.string());
  std::vector<Cutout> emoji;
  for (const char32_t code_point : code_points) {
    const FT_UInt glyph = FT_Get_Char_Index(face.handle, code_point);
    const bool drawn = glyph != 0 && FT_Load_Glyph(face.handle, glyph, FT_LOAD_COLOR | FT_LOAD_RENDER) == 0 &&
                       face.handle->glyph->bitmap.pixel_mode == FT_PIXEL_MODE_BGRA;
    require(drawn, ErrorKind::data, "{}: has no colour picture of U+{:X}", font.string(),
            static_cast<uint32_t>(code_point));
    emoji.push_back(from_bitmap(face.handle->glyph->bitmap));
  }
  return emoji;
}

Cutout cut_article(std::span<const uint8_t> grey, int64_t side) {
  constexpr uint8_t dark = 12;
  constexpr int64_t scale = 5;
  // What is dark and reaches the border, by a flood from there.
  std::vector<uint8_t> solid(grey.size(), 255);
  std::vector<int64_t> front;
  const auto flood = [&](int64_t x, int64_t y) {
    const int64_t at = y * side + x;
    if (x < 0 || y < 0 || x >= side || y >= side || solid[static_cast<size_t>(at)] == 0) return;
    if (grey[static_cast<size_t>(at)] >= dark) return;
    solid[static_cast<size_t>(at)] = 0;
    front.push_back(at);
  };
  for (int64_t i = 0; i < side; ++i) {
    flood(i, 0);
    flood(i, side - 1);
    flood(0, i);
    flood(side - 1, i);
  }
  while (!front.empty()) {
    const int64_t x = front.back() % side, y = front.back() / side;
    front.pop_back();
    flood(x - 1, y);
    flood(x + 1, y);
    flood(x, y - 1);
    flood(x, y + 1);
  }
  const auto enlarged = [&](std::span<const uint8_t> values) {
    const Image image{side, side, 1, {values.begin(), values.end()}};
    return resize(image, side * scale, side * scale, Interpolation::bicubic);
  };
  const Image light = enlarged(grey), outline = enlarged(solid);
  Cutout cutout{.width = side * scale, .height = side * scale, .rgba = {}};
  for (size_t i = 0; i < light.pixels.size(); ++i) {
    const uint8_t level = light.pixels[i];
    cutout.rgba.insert(cutout.rgba.end(), {level, level, level, outline.pixels[i]});
  }
  return cropped(cutout);
}

Cutout shrunk(const Cutout& cutout, int64_t longest) {
  const int64_t longer = std::max(cutout.width, cutout.height);
  if (longer <= longest) return cutout;
  const auto side = [&](int64_t length) { return std::max<int64_t>(1, (length * longest + longer / 2) / longer); };
  // Colours of pixels that cannot be seen must not mix in: they are premultiplied meanwhile.
  Image colours{cutout.width, cutout.height, 3, {}}, alphas{cutout.width, cutout.height, 1, {}};
  for (size_t i = 0; i < cutout.rgba.size(); i += 4) {
    const int alpha = cutout.rgba[i + 3];
    for (size_t c = 0; c < 3; ++c) {
      colours.pixels.push_back(static_cast<uint8_t>((cutout.rgba[i + c] * alpha + 127) / 255));
    }
    alphas.pixels.push_back(cutout.rgba[i + 3]);
  }
  Cutout small{.width = side(cutout.width), .height = side(cutout.height), .rgba = {}};
  colours = resize(colours, small.width, small.height, Interpolation::bilinear);
  alphas = resize(alphas, small.width, small.height, Interpolation::bilinear);
  small.rgba.resize(alphas.pixels.size() * 4);
  for (size_t i = 0; i < alphas.pixels.size(); ++i) {
    const int alpha = alphas.pixels[i];
    for (size_t c = 0; c < 3; ++c) {
      small.rgba[4 * i + c] =
          alpha == 0 ? 0 : static_cast<uint8_t>(std::min(255, (colours.pixels[3 * i + c] * 255 + alpha / 2) / alpha));
    }
    small.rgba[4 * i + 3] = alphas.pixels[i];
  }
  return small;
}

}  // namespace fovea::scenes
