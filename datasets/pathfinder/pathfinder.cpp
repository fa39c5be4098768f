#include "fovea/datasets/pathfinder/pathfinder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "fovea/datasets/scenes/dice.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

using scenes::Dice;

// In pixels.
constexpr double kDash = 2.0, kGap = 2.0;
constexpr double kClear = 5.5;   // between curves, and between parts of one that do not follow each other
constexpr double kBorder = 1.5;  // that stays empty
constexpr double kDot = 1.0;     // by which a dot is thicker than a line, to each side
constexpr double kTurn = 0.25;   // most radians by which a dash differs from the arc that its curve follows
constexpr double kBend = 0.8;    // most radians from dash to dash along an arc
// The dots lie as far apart whether joined or not, or their distance would give the answer away: at most this share of
// a long curve's length, least that of an arc that turns by as much as it may, within so many pixels.
constexpr double kFar = 0.92, kMiss = 1.0;
constexpr double kMostTurned = 3.8;                         // radians, of a whole arc
constexpr int kTurns = 4, kStarts = 200, kPictures = 2000;  // attempts

struct Point {
  double x = 0, y = 0;
};

// A dash, or a dot where both ends are one point.
struct Stroke {
  Point from, to;
  double thicker = 0;
};

using Curve = std::vector<Stroke>;

double distance(const Point& p, const Stroke& s) {
  const double dx = s.to.x - s.from.x, dy = s.to.y - s.from.y, length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : std::clamp(((p.x - s.from.x) * dx + (p.y - s.from.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - s.from.x - along * dx, p.y - s.from.y - along * dy);
}

// Of strokes shorter than kClear, which therefore do not cross where their ends are far from each other.
double distance(const Stroke& a, const Stroke& b) {
  return std::min({distance(a.from, b), distance(a.to, b), distance(b.from, a), distance(b.to, a)}) - a.thicker -
         b.thicker;
}

bool clear_of(const Stroke& stroke, const Curve& others) {
  return std::ranges::all_of(others, [&](const Stroke& other) { return distance(stroke, other) >= kClear; });
}

Stroke dot(const Point& at) {
  return {at, at, kDot};
}

double length_of(int64_t dashes) {
  return static_cast<double>(dashes) * (kDash + kGap) - kGap;
}

// Radians from dash to dash of an arc whose ends are `span` apart: length·sin(h)/h = span, h half of all its turns.
double bend_of(int64_t dashes, double span) {
  double low = 1e-3, high = std::numbers::pi;
  for (int i = 0; i < 40; ++i) {
    const double h = (low + high) / 2;
    (length_of(dashes) * std::sin(h) / h > span ? low : high) = h;
  }
  return 2 * low / static_cast<double>(std::max<int64_t>(1, dashes - 1));
}

class Drawer {
 public:
  Drawer(const PathfinderOptions& options, uint64_t number)
      : options_(options), dice_(options.seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) {
    const double length = length_of(options.dashes);
    const double half = std::min(kMostTurned, kBend * static_cast<double>(options.dashes - 1)) / 2;
    const double nearest = half > 0 ? std::min(kFar, std::sin(half) / half) : kFar;
    for (double& span : spans_) span = dice_.between(nearest * length, kFar * length);
  }

  // All strokes, the dots last; none where the curves found no place.
  Curve strokes(bool joined) {
    taken_.clear();
    const auto first = grown(options_.dashes, spans_[0]);
    if (!first) return {};
    const auto second = grown(options_.dashes, spans_[1]);
    if (!second) return {};
    const auto dots = joined ? ends(*first) : dots_of_both(*first, *second);
    if (dots.empty()) return {};
    for (int64_t i = 0; i < options_.distractors; ++i) {
      if (!grown(std::max<int64_t>(1, options_.dashes / 3), std::nullopt)) return {};
    }
    Curve all = taken_;
    std::erase_if(all, [](const Stroke& stroke) { return stroke.thicker > 0; });  // ends without a dot
    all.insert(all.end(), dots.begin(), dots.end());
    return all;
  }

 private:
  bool inside(const Stroke& stroke) const {
    const double low = kBorder + stroke.thicker, high = static_cast<double>(options_.side) - low;
    return std::ranges::all_of(std::array{stroke.from, stroke.to},
                               [&](const Point& p) { return p.x >= low && p.x <= high && p.y >= low && p.y <= high; });
  }

  static Curve ends(const Curve& curve) { return {dot(curve.front().from), dot(curve.back().to)}; }

  static bool spanned(const Curve& two, double span) {
    return std::abs(std::hypot(two[0].from.x - two[1].from.x, two[0].from.y - two[1].from.y) - span) <= kMiss;
  }

  // An end of each, as far apart as this picture's dots are to be; empty where no two are.
  Curve dots_of_both(const Curve& first, const Curve& second) {
    const int64_t turn = dice_.below(4);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t pair = (turn + i) % 4;
      const Curve two = {ends(first)[static_cast<size_t>(pair / 2)], ends(second)[static_cast<size_t>(pair % 2)]};
      if (spanned(two, spans_[2])) return two;
    }
    return {};
  }

  // A curve clear of all others; a long one with places for dots, so far apart.
  std::optional<Curve> grown(int64_t dashes, std::optional<double> span) {
    for (int attempt = 0; attempt < kStarts; ++attempt) {
      const auto curve = path(dashes, span ? bend_of(dashes, *span) : dice_.between(0, kBend));
      if (curve.empty()) continue;
      if (span) {
        const Curve two = ends(curve);
        if (!spanned(two, *span)) continue;
        if (!std::ranges::all_of(two, [&](const Stroke& end) { return inside(end) && clear_of(end, taken_); }))
          continue;
        taken_.insert(taken_.end(), two.begin(), two.end());
      }
      taken_.insert(taken_.end(), curve.begin(), curve.end());
      return curve;
    }
    return std::nullopt;
  }

  // Empty where it runs into something.
  Curve path(int64_t dashes, double bend) {
    const double low = kBorder + kDot, high = static_cast<double>(options_.side) - low;
    Point at{dice_.between(low, high), dice_.between(low, high)};
    double angle = dice_.between(0, 2 * std::numbers::pi);
    if (dice_.below(2) == 0) bend = -bend;
    Curve curve, behind;  // behind: what is not next to the dash to come
    while (static_cast<int64_t>(curve.size()) < dashes) {
      bool found = false;
      for (int turn = 0; turn < kTurns && !found; ++turn) {
        const double to = angle + bend + dice_.between(-kTurn, kTurn);
        const double dx = std::cos(to), dy = std::sin(to);
        const double step = curve.empty() ? 0 : kGap;
        const Point from{at.x + step * dx, at.y + step * dy};
        const Stroke dash{from, {from.x + kDash * dx, from.y + kDash * dy}};
        if (!inside(dash) || !clear_of(dash, taken_) || !clear_of(dash, behind)) continue;
        if (!curve.empty()) behind.push_back(curve.back());
        curve.push_back(dash);
        at = dash.to;
        angle = to;
        found = true;
      }
      if (!found) return {};
    }
    return curve;
  }

  const PathfinderOptions& options_;
  Dice dice_;
  std::array<double, 3> spans_;  // pixels between the ends of both long curves, and between dots that are not joined
  Curve taken_;                  // by curves and their dots
};

// White where a pixel's centre lies within half a pixel of the stroke, black from a whole one on.
void paint(const Stroke& stroke, Image& image) {
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      const Point centre{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5};
      const double light = std::clamp(2 - 2 * (distance(centre, stroke) - stroke.thicker), 0.0, 1.0);
      uint8_t* pixel = image.row(y) + 3 * x;
      const auto grey = static_cast<uint8_t>(std::lround(255 * light));
      std::fill_n(pixel, 3, std::max(*pixel, grey));
    }
  }
}

class PathfinderDataset : public Dataset {
 public:
  PathfinderDataset(const PathfinderOptions& options, int64_t count, uint64_t first)
      : options_(options), count_(count), first_(first) {}

  int64_t size() const override { return count_; }
  int64_t classes() const override { return 2; }
  Example get(int64_t index) const override {
    auto picture = draw_pathfinder(options_, first_ + static_cast<uint64_t>(index));
    return {.image = std::move(picture.image), .label = picture.joined ? 1 : 0};
  }

 private:
  PathfinderOptions options_;
  int64_t count_;
  uint64_t first_;
};

}  // namespace

PathfinderPicture draw_pathfinder(const PathfinderOptions& options, uint64_t number) {
  require(options.side > 0 && options.dashes > 0 && options.distractors >= 0, ErrorKind::usage,
          "draw_pathfinder: side {} and dashes {} must be positive, distractors {} not negative", options.side,
          options.dashes, options.distractors);
  PathfinderPicture picture{.joined = number % 2 == 1};
  Drawer drawer(options, number);
  for (int attempt = 0; attempt < kPictures; ++attempt) {
    const Curve strokes = drawer.strokes(picture.joined);
    if (strokes.empty()) continue;
    picture.image = {.width = options.side, .height = options.side};
    picture.image.pixels.resize(static_cast<size_t>(3 * options.side * options.side));
    for (const Stroke& stroke : strokes) paint(stroke, picture.image);
    return picture;
  }
  fail(ErrorKind::usage, "draw_pathfinder: {}x{} pixels have no place for two curves of {} dashes and {} distractors",
       options.side, options.side, options.dashes, options.distractors);
}

std::unique_ptr<Dataset> pathfinder_dataset(const PathfinderOptions& options, int64_t count, uint64_t first) {
  require(count > 0, ErrorKind::usage, "pathfinder_dataset: count {} must be positive", count);
  return std::make_unique<PathfinderDataset>(options, count, first);
}

}  // namespace fovea
