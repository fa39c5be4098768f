#include "fovea/datasets/scenes/compose.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "fovea/vision/image/resize.h"

namespace fovea::scenes {
namespace {

using Pixel = std::array<float, 4>;  // premultiplied RGB, alpha; 0 … 255

// From the picture to the cutout.
class Mapping {
 public:
  Mapping(const Cutout& cutout, const Pose& pose)
      : cutout_(cutout),
        x_(pose.x),
        y_(pose.y),
        scale_(static_cast<double>(std::max(cutout.width, cutout.height)) / pose.size),
        cosine_(std::cos(pose.angle) * scale_),
        sine_(std::sin(pose.angle) * scale_) {}

  Pixel colours_at(double x, double y) const {
    Pixel sum{};
    each_corner(x, y, [&](const uint8_t* p, float weight) {
      const float alpha = weight * (static_cast<float>(p[3]) / 255.0F);
      for (size_t c = 0; c < 3; ++c) sum[c] += alpha * static_cast<float>(p[c]);
      sum[3] += weight * static_cast<float>(p[3]);
    });
    return sum;
  }

  float alpha_at(double x, double y) const {
    float sum = 0;
    each_corner(x, y, [&](const uint8_t* p, float weight) { sum += weight * static_cast<float>(p[3]); });
    return sum;
  }

 private:
  template <typename Visit>
  void each_corner(double x, double y, Visit visit) const {
    const double dx = x - x_, dy = y - y_;
    const double u = cosine_ * dx + sine_ * dy + 0.5 * static_cast<double>(cutout_.width - 1);
    const double v = cosine_ * dy - sine_ * dx + 0.5 * static_cast<double>(cutout_.height - 1);
    if (u <= -1 || v <= -1 || u >= static_cast<double>(cutout_.width) || v >= static_cast<double>(cutout_.height))
      return;
    const double left = std::floor(u), top = std::floor(v);
    const auto across = static_cast<float>(u - left), down = static_cast<float>(v - top);
    for (const int64_t j : {0, 1}) {
      for (const int64_t i : {0, 1}) {
        const int64_t column = static_cast<int64_t>(left) + i, line = static_cast<int64_t>(top) + j;
        if (column < 0 || line < 0 || column >= cutout_.width || line >= cutout_.height) continue;
        visit(cutout_.at(column, line), (i ? across : 1 - across) * (j ? down : 1 - down));
      }
    }
  }

  const Cutout& cutout_;
  double x_, y_, scale_, cosine_, sine_;
};

void recolour(Pixel& pixel, const Colour& colour) {
  const float alpha = pixel[3] / 255;
  const float light = (0.299F * pixel[0] + 0.587F * pixel[1] + 0.114F * pixel[2]) / 255;  // premultiplied too
  for (size_t c = 0; c < 3; ++c) pixel[c] = std::min(255 * alpha, colour.rgb[c] * (0.3F * alpha + 0.85F * light));
}

}  // namespace

Image draw_background(const Image& photograph, int64_t size, Dice& dice) {
  const int64_t shorter = std::min(photograph.width, photograph.height);
  const auto side = static_cast<int64_t>(static_cast<double>(shorter) * dice.between(0.5, 1));
  const int64_t left = dice.below(photograph.width - side + 1), top = dice.below(photograph.height - side + 1);
  Image part{side, side, 3, {}};
  for (int64_t y = 0; y < side; ++y) {
    const uint8_t* row = photograph.row(top + y) + 3 * left;
    part.pixels.insert(part.pixels.end(), row, row + 3 * side);
  }
  Image background = resize(part, size, size, Interpolation::bilinear);
  if (dice.below(2) == 0) return background;
  for (int64_t y = 0; y < size; ++y) {
    uint8_t* row = background.row(y);
    for (int64_t x = 0; x < size / 2; ++x) std::swap_ranges(row + 3 * x, row + 3 * x + 3, row + 3 * (size - 1 - x));
  }
  return background;
}

void vary_background(Image& background, const Image& other, Dice& dice) {
  const double share = dice.below(2) == 0 ? dice.between(0.3, 0.7) : 0;
  std::array<size_t, 3> order = {0, 1, 2};
  for (size_t last = 2; last > 0; --last) {
    std::swap(order[last], order[static_cast<size_t>(dice.below(static_cast<int64_t>(last) + 1))]);
  }
  const double contrast = dice.between(0.5, 1.2) * (dice.below(3) == 0 ? -1 : 1);
  const double middle = 128 + dice.between(-40, 40);
  for (size_t i = 0; i < background.pixels.size(); i += 3) {
    std::array<double, 3> mixed;
    for (size_t c = 0; c < 3; ++c) mixed[c] = (1 - share) * background.pixels[i + c] + share * other.pixels[i + c];
    for (size_t c = 0; c < 3; ++c) {
      background.pixels[i + c] =
          static_cast<uint8_t>(std::clamp(middle + contrast * (mixed[order[c]] - 128), 0.0, 255.0));
    }
  }
}

int64_t set_on(Image& picture, const Cutout& cutout, const Pose& pose, const Colour* colour,
               std::vector<int16_t>& owners, int16_t mark) {
  const Mapping mapping(cutout, pose);
  const double drop = 0.06 * pose.size, soft = 0.05 * pose.size;  // the shadow's way down and to the right, its edge
  const auto reach = static_cast<int64_t>(0.75 * pose.size + drop + soft) + 1;
  const auto from = [&](double centre) { return std::max<int64_t>(0, static_cast<int64_t>(centre) - reach); };
  const auto to = [&](double centre) {
    return std::min<int64_t>(picture.width, static_cast<int64_t>(centre) + reach + 1);
  };
  int64_t covered = 0;
  for (int64_t y = from(pose.y); y < to(pose.y); ++y) {
    uint8_t* row = picture.row(y);
    for (int64_t x = from(pose.x); x < to(pose.x); ++x) {
      const auto px = static_cast<double>(x), py = static_cast<double>(y);
      float shade = 0;
      for (const auto& [dx, dy] : {std::array{0.0, 0.0}, {soft, 0.0}, {-soft, 0.0}, {0.0, soft}, {0.0, -soft}}) {
        shade += mapping.alpha_at(px - drop + dx, py - drop + dy);
      }
      Pixel thing = mapping.colours_at(px, py);
      if (shade == 0 && thing[3] == 0) continue;
      if (colour != nullptr) recolour(thing, *colour);
      const float behind = (1 - 0.45F * shade / (5 * 255)) * (1 - thing[3] / 255);
      for (int64_t c = 0; c < 3; ++c) {
        const float level = thing[static_cast<size_t>(c)] + behind * static_cast<float>(row[3 * x + c]);
        row[3 * x + c] = static_cast<uint8_t>(level + 0.5F);
      }
      if (thing[3] < 128) continue;
      owners[static_cast<size_t>(y * picture.width + x)] = mark;
      ++covered;
    }
  }
  return covered;
}

}  // namespace fovea::scenes
