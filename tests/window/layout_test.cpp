#include <gtest/gtest.h>

#include "fovea/modules/window/partition.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/window/oracle.h"

namespace fovea::testing {
namespace {

constexpr uint64_t kSeeds = 100;

TEST(WindowPartition, ReverseIsTheIdentity) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const WindowCase c(seed);
    const auto x = at::randn({2, c.layout.padded_height(), c.layout.padded_width(), 3});
    const auto windows = window_partition(x, c.args.window[0], c.args.window[1]);
    EXPECT_EQ(windows.sizes(), at::IntArrayRef({2 * c.layout.windows(), c.layout.places(), 3}));
    EXPECT_TRUE(at::equal(window_reverse(windows, c.layout), x)) << c.name();
  }
}

TEST(WindowPartition, WindowsAndPlacesStandInRowOrder) {
  const auto x = at::arange(24).view({1, 4, 6, 1});
  const auto windows = window_partition(x, 2, 3).squeeze(-1);
  EXPECT_TRUE(at::equal(
      windows,
      at::tensor({0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11, 12, 13, 14, 18, 19, 20, 15, 16, 17, 21, 22, 23}).view({4, 6})));
}

TEST(WindowPartition, RefusesWhatDoesNotDivide) {
  EXPECT_ERROR(window_partition(at::zeros({1, 8, 7, 3}), 4, 4), ErrorKind::data, "[1,8,7,3]");
  EXPECT_ERROR(window_partition(at::zeros({8, 8, 3}), 4, 4), ErrorKind::data, "4x4");
  const WindowLayout layout{8, 8, 4, 4};
  EXPECT_ERROR(window_reverse(at::zeros({3, 16, 2}), layout), ErrorKind::data, "[batch*4,16,C], got [3,16,2]");
  EXPECT_ERROR(window_reverse(at::zeros({4, 15, 2}), layout), ErrorKind::data, "got [4,15,2]");
  EXPECT_ERROR(to_windows(at::zeros({1, 8, 9, 2}), layout), ErrorKind::data, "[B,8,8,C], got [1,8,9,2]");
}

TEST(WindowLayout, ToWindowsAndBackIsTheIdentity) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const WindowCase c(seed);
    const auto x = at::randn({2, c.layout.height, c.layout.width, 3});
    EXPECT_TRUE(at::equal(from_windows(to_windows(x, c.layout), c.layout), x)) << c.name();
    EXPECT_TRUE(at::equal(from_windows(to_windows(x, c.layout, at::randn({3})), c.layout), x)) << c.name();
  }
}

TEST(WindowLayout, TokensAreThoseOfTheCoordinates) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const WindowCase c(seed);
    const auto tokens = window_tokens(c.layout);
    ASSERT_EQ(tokens.sizes(), at::IntArrayRef({c.layout.windows(), c.layout.places()}));
    for (int64_t window = 0; window < c.layout.windows(); ++window) {
      for (int64_t place = 0; place < c.layout.places(); ++place) {
        const int64_t row = window / c.layout.columns() * c.args.window[0] + place / c.args.window[1];
        const int64_t column = window % c.layout.columns() * c.args.window[1] + place % c.args.window[1];
        const Point token = token_at(row, column, c.layout);
        const int64_t expected = token.y < 0 ? -1 : token.y * c.layout.width + token.x;
        ASSERT_EQ(tokens[window][place].item<int64_t>(), expected)
            << c.name() << " window " << window << " place " << place;
      }
    }
  }
  EXPECT_ERROR(window_tokens({0, 4, 2, 2}), ErrorKind::data, "0x4");
}

TEST(WindowLayout, TablesGatherAndScatterAsTheOperationsDo) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const WindowCase c(seed);
    const auto tables = window_tables(c.layout);
    const auto x = at::randn({c.layout.height * c.layout.width, 2});
    auto windows = x.index_select(0, tables.tokens);
    windows.index_fill_(0, tables.padding, 0);
    EXPECT_TRUE(at::equal(windows.view({-1, c.layout.places(), 2}),
                          to_windows(x.view({1, c.layout.height, c.layout.width, 2}), c.layout)));
    EXPECT_TRUE(at::equal(windows.index_select(0, tables.places), x));
  }
}

TEST(ShiftMask, EqualsTheLoopOverRegions) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const WindowCase c(seed);
    const auto mask = shift_mask(c.layout);
    ASSERT_EQ(mask.defined(), c.layout.shifted());
    if (!mask.defined()) continue;
    ASSERT_EQ(mask.sizes(), at::IntArrayRef({c.layout.windows(), c.layout.places(), c.layout.places()}));
    for (int64_t window = 0; window < c.layout.windows(); ++window) {
      const auto place = [&](int64_t i) {
        return Point{window / c.layout.columns() * c.args.window[0] + i / c.args.window[1],
                     window % c.layout.columns() * c.args.window[1] + i % c.args.window[1]};
      };
      for (int64_t i = 0; i < c.layout.places(); ++i) {
        for (int64_t j = 0; j < c.layout.places(); ++j) {
          ASSERT_EQ(mask[window][i][j].item<float>(), apart(place(i), place(j), c.layout) ? -100 : 0) << c.name();
        }
      }
    }
  }
}

TEST(RelativePosition, IndexIsTheClosedForm) {
  for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{{7, 7}, {1, 1}, {2, 5}, {4, 3}}) {
    const auto index = relative_position_index(h, w);
    ASSERT_EQ(index.sizes(), at::IntArrayRef({h * w, h * w}));
    for (int64_t i = 0; i < h * w; ++i) {
      for (int64_t j = 0; j < h * w; ++j) {
        ASSERT_EQ(index[i][j].item<int64_t>(), (i / w - j / w + h - 1) * (2 * w - 1) + i % w - j % w + w - 1);
      }
    }
    EXPECT_EQ(index.max().item<int64_t>(), (2 * h - 1) * (2 * w - 1) - 1);
  }
}

TEST(RelativePosition, BiasDependsOnTheOffsetAlone) {
  const auto table = at::randn({7 * 5, 2});
  const auto index = relative_position_index(4, 3);
  const auto bias = relative_position_bias(table, index);
  ASSERT_EQ(bias.sizes(), at::IntArrayRef({2, 12, 12}));
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < 12; ++j) {
      ASSERT_TRUE(at::equal(bias.select(1, i).select(1, j), table[index[i][j].item<int64_t>()]));
    }
  }
}

}  // namespace
}  // namespace fovea::testing
