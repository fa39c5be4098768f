// Products of pairs against loops, on every chip that has the instruction, also where the kernels do without it.
#include "fovea/modules/kernels/cpu/pairs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace fovea::kernels {
namespace {

constexpr int64_t kWords = 16;

float wide(uint32_t bits) {
  return std::bit_cast<float>(bits << 16);
}

// A word of two small bfloat16 numbers.
std::vector<uint32_t> random_words(size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto half = [&] { return std::bit_cast<uint32_t>(uniform(random)) >> 16; };
  std::vector<uint32_t> words(count);
  for (auto& word : words) word = half() | half() << 16;
  return words;
}

double dot(uint32_t a, uint32_t b) {
  return static_cast<double>(wide(a & 0xffff)) * wide(b & 0xffff) + static_cast<double>(wide(a >> 16)) * wide(b >> 16);
}

class PairProducts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_pairs()) GTEST_SKIP() << "this chip has no vdpbf16ps";
  }
  std::mt19937 random{1};
};

TEST_F(PairProducts, MultiplyEveryShapeOfTiles) {
  for (int64_t rows : {1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 25}) {
    for (int64_t vectors = 1; vectors <= 9; ++vectors) {
      for (const int64_t depth : {1, 16, 31}) {
        for (const bool panels : {false, true}) {
          const int64_t lda = depth + 3, columns = vectors * kWords, ldb = columns + 5, ldc = columns + 1;
          const auto a = random_words(static_cast<size_t>(rows * lda), random);
          const auto b = random_words(static_cast<size_t>(depth * ldb), random);
          std::vector<float> c(static_cast<size_t>(rows * ldc), 2);
          multiply_pairs({rows, vectors, depth, a.data(), lda, b.data(), panels ? 0 : ldb, c.data(), ldc, true});
          const int64_t parts = (vectors + 3) / 4;
          for (int64_t part = 0; part < parts; ++part) {
            const int64_t first = part * vectors / parts * kWords, last = (part + 1) * vectors / parts * kWords;
            for (int64_t i = 0; i < rows; ++i) {
              for (int64_t j = first; j < last; ++j) {
                double sum = 2;
                for (int64_t k = 0; k < depth; ++k) {
                  const int64_t at = panels ? first * depth + k * (last - first) + j - first : k * ldb + j;
                  sum += dot(a[static_cast<size_t>(i * lda + k)], b[static_cast<size_t>(at)]);
                }
                ASSERT_NEAR(c[static_cast<size_t>(i * ldc + j)], sum, 1e-5 * static_cast<double>(depth))
                    << rows << " rows, " << vectors << " vectors, depth " << depth << ", at " << i << ", " << j;
              }
            }
          }
          for (int64_t i = 0; i < rows; ++i) EXPECT_EQ(c[static_cast<size_t>(i * ldc + columns)], 2);  // untouched
        }
      }
    }
  }
}

TEST_F(PairProducts, ScoresAreScaledAndMaskedAndTheirLargestKept) {
  constexpr int64_t rows = 14, depth = 20;
  for (const int64_t vectors : {1, 3, 4, 5, 9}) {
    const int64_t ld = vectors * kWords;
    for (const int64_t columns : {ld, ld - 1, ld - 15}) {
      const auto a = random_words(rows * depth, random), b = random_words(static_cast<size_t>(depth * ld), random);
      std::vector<float> plain(static_cast<size_t>(rows * ld)), c = plain, tops(rows * kWords, 100);
      multiply_pairs({rows, vectors, depth, a.data(), depth, b.data(), ld, plain.data(), ld, false});
      multiply_pairs({rows, vectors, depth, a.data(), depth, b.data(), ld, c.data(), ld, false},
                     {-0.5F, columns, tops.data()});
      for (int64_t i = 0; i < rows; ++i) {
        std::vector<float> largest(kWords, -std::numeric_limits<float>::infinity());
        for (int64_t j = 0; j < ld; ++j) {
          const auto at = static_cast<size_t>(i * ld + j);
          EXPECT_EQ(c[at], j < columns ? -0.5F * plain[at] : -std::numeric_limits<float>::infinity());
          auto& top = largest[static_cast<size_t>(j % kWords)];
          top = std::max(top, c[at]);
        }
        for (size_t lane = 0; lane < kWords; ++lane)
          EXPECT_EQ(tops[static_cast<size_t>(i * kWords) + lane], largest[lane]);
      }
    }
  }
}

TEST_F(PairProducts, RowsBecomePairs) {
  for (const int64_t count : {1, 2, 7, 8}) {
    for (const int64_t width : {1, 8, 16, 31, 40}) {
      constexpr int64_t column = 3, ld = 48;
      std::vector<std::vector<BFloat16>> values;
      std::vector<const BFloat16*> rows;
      for (int64_t i = 0; i < count; ++i) {
        auto& row = values.emplace_back();
        for (int64_t k = 0; k < column + width; ++k) row.push_back({static_cast<uint16_t>(1 + 64 * i + k)});
        rows.push_back(row.data());
      }
      std::vector<uint32_t> words(static_cast<size_t>((count + 1) / 2 * ld), 7);
      pack_pairs(rows.data(), count, width, words.data(), ld, column);
      const auto value = [&](int64_t i, int64_t k) {
        return i < count && k < width ? static_cast<uint32_t>(1 + 64 * i + column + k) : 0U;
      };
      for (int64_t i = 0; i < count; i += 2) {
        for (int64_t k = 0; k < ld; ++k) {
          EXPECT_EQ(words[static_cast<size_t>(i / 2 * ld + k)], value(i, k) | value(i + 1, k) << 16) << i << ", " << k;
        }
      }
    }
  }
}

TEST_F(PairProducts, DotsOfRowsWithOne) {
  constexpr int64_t rows = 5, depth = 48, lda = 50;
  const auto a = random_words(rows * lda, random), b = random_words(depth, random);
  std::vector<float> lanes(rows * kWords);
  dots_of_pairs({rows, 0, depth, a.data(), lda, b.data(), 0, nullptr, 0, false}, lanes.data());
  for (size_t i = 0; i < rows; ++i) {
    double sum = 0, found = 0;
    for (size_t k = 0; k < depth; ++k) sum += dot(a[i * lda + k], b[k]);
    for (size_t lane = 0; lane < kWords; ++lane) found += lanes[i * kWords + lane];
    EXPECT_NEAR(found, sum, 1e-5);
  }
}

TEST_F(PairProducts, NarrowsToTheNearest) {
  std::vector<float> values(32);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (auto& value : values) value = uniform(random);
  values[3] = 0;
  values[4] = std::bit_cast<float>(0x3f808000U);  // half-way: to even, 1
  values[5] = std::bit_cast<float>(0x3f818000U);
  values[6] = std::numeric_limits<float>::quiet_NaN();
  auto narrowed = values;
  narrow(narrowed.data(), 32);
  const auto* bits = reinterpret_cast<const BFloat16*>(narrowed.data());
  for (size_t i = 0; i < 32; ++i) {
    if (i == 6) continue;
    int exponent = 0;
    std::frexp(values[i], &exponent);
    EXPECT_NEAR(wide(bits[i].bits), values[i], std::ldexp(0.5F, exponent - 8))
        << i;  // half a unit in the last of 8 places
  }
  EXPECT_EQ(bits[4].bits, 0x3f80);
  EXPECT_EQ(bits[5].bits, 0x3f82);
  EXPECT_TRUE(std::isnan(wide(bits[6].bits)));
}

}  // namespace
}  // namespace fovea::kernels
