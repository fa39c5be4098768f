#include "fovea/vision/lens/lens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

// Waves of colour under noise: neither flat nor without structure.
Image picture(int64_t width, int64_t height, unsigned seed, double noise = 20) {
  std::mt19937 random(seed);
  std::normal_distribution<double> draw(0, noise);
  Image image{.width = width, .height = height};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double wave =
            std::sin(0.23 * static_cast<double>(x) + c + seed) + std::cos(0.31 * static_cast<double>(y));
        image.pixels.push_back(static_cast<uint8_t>(std::clamp(128 + 40 * wave + draw(random), 0.0, 255.0)));
      }
    }
  }
  return image;
}

// Plain loops in double over the definitions in the headers.
struct Oracle {
  const Image& looking;
  const Image& seen;
  LensOptions options;

  static int64_t reflect(int64_t i, int64_t size) {
    while (i < 0 || i >= size) {
      if (size == 1) return 0;
      i = i < 0 ? -i : 2 * (size - 1) - i;
    }
    return i;
  }

  std::vector<double> patch(const Image& image, int64_t token) const {
    const auto& [stride, side, heads] = options.patches;
    const int64_t columns = image.width / stride, margin = (side - stride) / 2;
    const int64_t top = token / columns * stride - margin, left = token % columns * stride - margin;
    std::vector<double> levels;
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t x = 0; x < side; ++x) {
        const uint8_t* pixel = image.row(reflect(top + y, image.height)) + 3 * reflect(left + x, image.width);
        for (int c = 0; c < 3; ++c) levels.push_back(pixel[c] / 255.0);
      }
    }
    return heads == 1 ? levels : frequencies(levels, side);
  }

  // The cosine transform of the three mixed colours, by v + u, then v, then colour.
  static std::vector<double> frequencies(const std::vector<double>& levels, int64_t n) {
    const double mix[3][3] = {{1, 1, 1}, {1, 0, -1}, {1, -2, 1}};
    const double length[3] = {std::sqrt(3.0), std::sqrt(2.0), std::sqrt(6.0)};
    const auto wave = [n](int64_t frequency, int64_t place) {
      const double scale = std::sqrt((frequency == 0 ? 1.0 : 2.0) / static_cast<double>(n));
      return scale *
             std::cos(std::numbers::pi * static_cast<double>((2 * place + 1) * frequency) / static_cast<double>(2 * n));
    };
    std::vector<double> channels;
    for (int64_t sum = 0; sum <= 2 * (n - 1); ++sum) {
      for (int64_t v = 0; v < n; ++v) {
        const int64_t u = sum - v;
        if (u < 0 || u >= n) continue;
        for (int k = 0; k < 3; ++k) {
          double channel = 0;
          for (int64_t i = 0; i < n * n; ++i) {
            double color = 0;
            for (int c = 0; c < 3; ++c) color += mix[k][c] / length[k] * levels[3 * i + c];
            channel += wave(v, i / n) * wave(u, i % n) * color;
          }
          channels.push_back(channel);
        }
      }
    }
    return channels;
  }

  std::vector<double> shares(const std::vector<std::vector<double>>& keys) const {
    const size_t width = keys[0].size(), heads = static_cast<size_t>(options.patches.heads);
    std::vector<double> shares(heads);
    for (size_t c = 0; c < width; ++c) {
      double mean = 0;
      for (const auto& key : keys) mean += key[c] / static_cast<double>(keys.size());
      for (const auto& key : keys) shares[c / (width / heads)] += (key[c] - mean) * (key[c] - mean);
    }
    double all = 0;
    for (const double share : shares) all += share;
    for (double& share : shares) share /= all;
    return shares;
  }

  // [tokens][heads][tokens of seen]
  std::vector<std::vector<std::vector<double>>> weights() const {
    const int64_t stride = options.patches.stride, columns = looking.width / stride;
    const auto heads = static_cast<size_t>(options.patches.heads);
    const int64_t seen_columns = seen.width / stride;
    std::vector<std::vector<double>> queries, keys;
    for (int64_t i = 0; i < columns * (looking.height / stride); ++i) queries.push_back(patch(looking, i));
    for (int64_t j = 0; j < seen_columns * (seen.height / stride); ++j) keys.push_back(patch(seen, j));
    const std::vector<double> share = heads == 1 ? std::vector<double>{1} : shares(keys);
    const size_t width = keys[0].size(), part = width / heads;
    std::vector<std::vector<std::vector<double>>> all;
    for (int64_t i = 0; i < static_cast<int64_t>(queries.size()); ++i) {
      all.emplace_back();
      for (size_t h = 0; h < heads; ++h) {
        std::vector<double> row;
        double sum = 0;
        for (int64_t j = 0; j < static_cast<int64_t>(keys.size()); ++j) {
          const bool sees = !options.window || (std::abs(i / columns - j / seen_columns) <= *options.window &&
                                                std::abs(i % columns - j % seen_columns) <= *options.window);
          double distance = 0;
          for (size_t c = h * part; c < (h + 1) * part; ++c) distance += std::pow(queries[i][c] - keys[j][c], 2);
          row.push_back(sees ? std::exp(-distance / static_cast<double>(width) / share[h] / options.temperature) : 0);
          sum += row.back();
        }
        for (double& weight : row) weight /= sum;
        all.back().push_back(std::move(row));
      }
    }
    return all;
  }

  std::vector<double> painted() const {
    const int64_t stride = options.patches.stride;
    const auto all = weights();
    std::vector<double> out(looking.pixels.size());
    for (int64_t y = 0; y < looking.height; ++y) {
      for (int64_t x = 0; x < looking.width; ++x) {
        const auto& heads = all[y / stride * (looking.width / stride) + x / stride];
        for (size_t j = 0; j < heads[0].size(); ++j) {
          const auto seen_columns = seen.width / stride;
          const uint8_t* pixel = seen.row(static_cast<int64_t>(j) / seen_columns * stride + y % stride) +
                                 3 * (static_cast<int64_t>(j) % seen_columns * stride + x % stride);
          for (const auto& row : heads) {
            for (int c = 0; c < 3; ++c) {
              out[3 * (y * looking.width + x) + c] += row[j] / static_cast<double>(heads.size()) * pixel[c] / 255.0;
            }
          }
        }
      }
    }
    return out;
  }
};

struct Case {
  int64_t width, height, seen_width, seen_height;
  LensOptions options;
};

std::vector<Case> cases() {
  return {{64, 48, 64, 48, {.patches = {.stride = 8, .patch = 8}}},
          {64, 48, 40, 88, {.patches = {.stride = 8, .patch = 8}, .temperature = 0.001}},
          {64, 64, 64, 64, {.patches = {.stride = 4, .patch = 8}, .window = 2}},
          {40, 56, 40, 56, {.patches = {.stride = 4, .patch = 6}, .temperature = 0.1, .window = 30}},
          {64, 48, 56, 24, {.patches = {.stride = 8, .patch = 8, .heads = 3}}},
          {48, 48, 48, 48, {.patches = {.stride = 4, .patch = 6, .heads = 4}, .window = 3}},
          {37, 23, 37, 23, {.patches = {.stride = 1, .patch = 5}, .window = 3}},
          {29, 31, 29, 31, {.patches = {.stride = 1, .patch = 3, .heads = 9}, .temperature = 0.03, .window = 10}},
          {5, 300, 5, 300, {.patches = {.stride = 1, .patch = 1}, .temperature = 0.02, .window = 4}},
          {2, 3, 2, 3, {.patches = {.stride = 1, .patch = 7}, .temperature = 0.02}},
          {1, 1, 1, 1, {.patches = {.stride = 1, .patch = 5}, .window = 0}}};
}

TEST(Lens, EqualsLoops) {
  unsigned seed = 0;
  for (Case c : cases()) {
    const Image looking = picture(c.width, c.height, ++seed);
    const bool same = c.width == c.seen_width && c.height == c.seen_height;
    const Image seen = same ? looking : picture(c.seen_width, c.seen_height, ++seed);
    const std::vector<double> expected = Oracle{looking, seen, c.options}.painted();
    for (const bool plain : {false, true}) {
      c.options.plain = plain;
      const Levels got = repaint(looking, seen, c.options);
      ASSERT_EQ(got.width, c.width);
      ASSERT_EQ(got.height, c.height);
      ASSERT_EQ(got.values.size(), expected.size());
      double worst = 0;
      for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(got.values[i] - expected[i]));
      EXPECT_LE(worst, 1e-5) << "case " << seed << (plain ? ", plain" : "");
    }
  }
}

TEST(Lens, LooksWhereTheLoopsLook) {
  unsigned seed = 50;
  for (const Case& c : cases()) {
    const Image looking = picture(c.width, c.height, ++seed);
    const bool same = c.width == c.seen_width && c.height == c.seen_height;
    const Image seen = same ? looking : picture(c.seen_width, c.seen_height, ++seed);
    const auto expected = Oracle{looking, seen, c.options}.weights();
    for (size_t query = 0; query < expected.size(); query += 1 + expected.size() / 5) {
      const auto got = look(looking, seen, static_cast<int64_t>(query), c.options);
      const size_t keys = expected[query][0].size();
      ASSERT_EQ(got.size(), keys * expected[query].size());
      for (size_t i = 0; i < got.size(); ++i) {
        const double weight = expected[query][i / keys][i % keys];
        ASSERT_NEAR(got[i], weight, 1e-6);
        if (weight == 0) {
          ASSERT_EQ(got[i], 0);
        }
      }
    }
  }
}

TEST(Lens, DoesNotDependOnTheThreads) {
  const Image image = picture(64, 80, 3);
  LensOptions options{.patches = {.stride = 1, .patch = 5}, .window = 6, .threads = 1};
  const Levels one = repaint(image, image, options);
  options.threads = 5;
  EXPECT_EQ(repaint(image, image, options).values, one.values);
}

// A picture is found again among its own patches in any order.
TEST(Lens, RepaintsAPictureFromItsShuffledPatches) {
  constexpr int64_t side = 64, stride = 8;
  const Image image = picture(side, side, 4);
  std::vector<int64_t> order(side / stride * side / stride);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  Image shuffled = image;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto to = static_cast<int64_t>(i), from = order[i];
    for (int64_t y = 0; y < stride; ++y) {
      const uint8_t* source = image.row(from / 8 * stride + y) + 3 * stride * (from % 8);
      std::copy_n(source, 3 * stride, shuffled.row(to / 8 * stride + y) + 3 * stride * (to % 8));
    }
  }
  ASSERT_NE(shuffled.pixels, image.pixels);
  const LensOptions cold{.temperature = 1e-5};
  EXPECT_EQ(repaint(image, shuffled, cold).rounded().pixels, image.pixels);
  const auto weights = look(image, shuffled, 9, cold);
  EXPECT_EQ(order[std::max_element(weights.begin(), weights.end()) - weights.begin()], 9);
}

TEST(Lens, HeatEvensOutAndColdSinglesOut) {
  const Image image = picture(64, 64, 6);
  const auto spread = [&](double temperature) {
    double sum = 0;
    for (const double weight : look(image, image, 20, {.temperature = temperature})) sum += weight * weight;
    return 1 / sum;  // patches that count
  };
  EXPECT_NEAR(spread(1e-6), 1, 1e-6);
  EXPECT_NEAR(spread(1e4), 64, 0.1);
  EXPECT_LT(spread(0.005), spread(0.02));
}

TEST(Lens, ProgressCountsAndEnds) {
  const Image image = picture(64, 64, 7);
  int64_t calls = 0;
  LensOptions options{.patches = {.stride = 1, .patch = 3}, .window = 2, .threads = 1};
  options.progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(done, ++calls);
    EXPECT_GT(total, 3);
    return calls < 2;
  };
  const Levels begun = repaint(image, image, options);
  EXPECT_EQ(calls, 2);
  EXPECT_NE(begun.values.front(), 0);
  EXPECT_EQ(begun.values.back(), 0);
}

TEST(Lens, MeasuresNoise) {
  for (const double sigma : {2.0, 10.0, 25.0}) {
    std::mt19937 random(8);
    std::normal_distribution<double> draw(128, sigma);
    Image image{.width = 200, .height = 150, .pixels = std::vector<uint8_t>(200 * 150 * 3)};
    for (uint8_t& level : image.pixels) level = static_cast<uint8_t>(std::clamp(std::lround(draw(random)), 0L, 255L));
    EXPECT_NEAR(noise_level(image) * 255, sigma, 0.03 * sigma + 0.1);
  }
  Image ramp{.width = 50, .height = 40, .pixels = std::vector<uint8_t>(50 * 40 * 3)};
  for (int64_t i = 0; i < 50 * 40 * 3; ++i) ramp.pixels[i] = static_cast<uint8_t>(i / 3 % 50 + 2 * (i / 150));
  EXPECT_EQ(noise_level(ramp), 0);
}

// White noise of known size over waves: the error falls to less than half.
TEST(Lens, Denoises) {
  const Image clean = picture(96, 96, 9, 0), noisy = picture(96, 96, 9, 25);
  const auto error = [&](const Image& image) {
    double sum = 0;
    for (size_t i = 0; i < image.pixels.size(); ++i) sum += std::pow(image.pixels[i] - clean.pixels[i], 2);
    return std::sqrt(sum / static_cast<double>(image.pixels.size()));
  };
  const Image result = repaint(noisy, noisy, denoise_options(25.0 / 255)).rounded();
  EXPECT_GT(error(noisy), 20);
  EXPECT_LT(error(result), error(noisy) / 2);
}

TEST(Lens, RefusesWhatCannotBe) {
  const Image image = picture(64, 48, 10), other = picture(48, 64, 11);
  const auto with = [&](const LensOptions& options) { repaint(image, image, options); };
  EXPECT_ERROR(with({.temperature = 0}), ErrorKind::usage, "temperature above 0, got 0");
  EXPECT_ERROR(with({.temperature = NAN}), ErrorKind::usage, "temperature above 0, got nan");
  EXPECT_ERROR(with({.window = -1}), ErrorKind::usage, "got -1");
  EXPECT_ERROR(with({.patches = {.stride = 8, .patch = 9}}), ErrorKind::usage, "even number, got 9");
  EXPECT_ERROR(with({.patches = {.stride = 8, .patch = 4}}), ErrorKind::usage, "even number, got 4");
  EXPECT_ERROR(with({.patches = {.stride = 7, .patch = 7}}), ErrorKind::usage, "64x48 pixels are no multiples");
  EXPECT_ERROR(with({.patches = {.heads = 5}}), ErrorKind::usage, "5 heads do not divide the 192");
  EXPECT_ERROR(repaint(image, other, {.window = 1}), ErrorKind::usage, "got 8x6 and 6x8 tokens");
  EXPECT_ERROR(look(image, image, 48, {}), ErrorKind::usage, "there are tokens 0…47");
  EXPECT_ERROR(look(image, image, -1, {}), ErrorKind::usage, "query -1");
  EXPECT_ERROR(repaint({}, image, {}), ErrorKind::data, "got 0x0x3");
  EXPECT_ERROR(noise_level(picture(2, 9, 1)), ErrorKind::data, "got 2x9x3");
}

}  // namespace
}  // namespace fovea
