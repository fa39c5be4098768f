// Where each slot looks: which values of the map one value of the answer depends on.
#include <gtest/gtest.h>

#include "fovea/modules/channel/factory.h"

namespace fovea::testing {
namespace {

constexpr int64_t kC = 16, kH = 16, kW = 12;  // of the map
constexpr int64_t kC0 = 0, kY0 = 6, kX0 = 5;  // of the value

struct Offset {
  int64_t c, y, x;      // places away from the value, not negative
  int64_t row, column;  // of the map
};

struct Look {
  const char* name;
  bool (*reaches)(const Offset&);
  bool more = false;  // and what happens to be the largest of a strip
};

bool everything(const Offset&) {
  return true;
}

bool neighbouring_channels(const Offset& o) {
  return o.c <= 1;
}

bool own_row_or_column(const Offset& o) {
  return o.y == 0 || o.x == 0;
}

const Look looks[] = {
    {"se", everything},
    {"ese", everything},
    {"eca", neighbouring_channels},
    {"ceca", [](const Offset& o) { return o.c <= 1 || o.c == kC - 1; }},  // goes round
    {"ecam", neighbouring_channels},
    {"ge", everything},
    {"gc", everything},
    {"gca", everything},
    {"cbam", everything},
    {"cbam_channel", everything},
    {"cbam_spatial", [](const Offset& o) { return (o.y <= 3 && o.x <= 3); }},
    {"cbam_reversed", everything},
    {"cbam_parallel", everything},
    {"lcbam", everything},
    {"bam", everything},
    {"coord", own_row_or_column},
    {"scoord", own_row_or_column},
    {"ela", everything},  // its norm is over the whole of the strip
    {"strip", [](const Offset& o) { return o.c == 0 && (o.y <= 1 || o.x <= 1); }},
    {"simam", [](const Offset& o) { return o.c == 0; }},
    {"triplet",
     [](const Offset& o) { return (o.c <= 3 && o.x <= 3) || (o.c <= 3 && o.y <= 3) || (o.y <= 3 && o.x <= 3); }},
    {"sk", everything},
    {"splat", everything},
    {"nl", everything},
    // 7 blocks of 3 by 2 pixels: the pixels that lie in the other blocks as this one lies in its own.
    {"bat", [](const Offset& o) { return o.y % 3 == 0 && o.x % 2 == 0; }, true},
    {"lambda", everything},
    // The value lies in the first block of 8 by 8, which sees 3 pixels more.
    {"halo", [](const Offset& o) { return o.row < 8 + 3 && o.column < 8 + 3; }},
    {"bottleneck", everything},
    {"external", everything},
};

// True where the value depends on a place of the map, for any of a few random layers and maps.
at::Tensor reach(const std::string& name) {
  auto reached = at::zeros({kC, kH, kW}, at::kBool);
  for (uint64_t seed = 0; seed < 6; ++seed) {
    at::manual_seed(seed);
    auto layer = make_channel_attention(name, {.channels = kC, .reduction = 2, .height = kH, .width = kW});
    layer.ptr()->eval();
    layer.ptr()->to(at::kDouble);
    {
      const at::NoGradGuard no_grad;
      for (auto& parameter : layer.ptr()->parameters()) parameter.normal_(0.1, 0.3);
    }
    const auto x = at::randn({1, kC, kH, kW}, at::kDouble).requires_grad_(true);
    const at::Tensor y = layer.forward(x);
    y[0][kC0][kY0][kX0].backward();
    reached |= x.grad()[0].ne(0);
  }
  return reached;
}

TEST(ChannelAttentionReach, IsWhatEachMechanismIsMadeFor) {
  std::vector<std::string> names;
  for (const Look& row : looks) {
    names.emplace_back(row.name);
    const auto reached = reach(row.name);
    const auto at_place = reached.accessor<bool, 3>();
    for (int64_t c = 0; c < kC; ++c) {
      for (int64_t y = 0; y < kH; ++y) {
        for (int64_t x = 0; x < kW; ++x) {
          const Offset offset{c - kC0, std::abs(y - kY0), std::abs(x - kX0), y, x};
          if (row.more && !row.reaches(offset)) continue;
          ASSERT_EQ(at_place[c][y][x], row.reaches(offset)) << row.name << " at " << c << ", " << y << ", " << x;
        }
      }
    }
  }
  EXPECT_EQ(names, channel_attention_names());
}

}  // namespace
}  // namespace fovea::testing
