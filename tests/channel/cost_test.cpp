// What every slot costs, counted: the formulas of docs/modules.md with the terms that it leaves out.
#include <gtest/gtest.h>

#include "fovea/modules/channel/factory.h"
#include "fovea/tests/support/multiply_adds.h"

namespace fovea::testing {
namespace {

struct Map {
  int64_t C, h, w;
};

struct Row {
  const char* name;
  int64_t (*multiply_adds)(const Map&);
  at::ScalarType type = at::kFloat;  // float16 where a kernel of ours would run uncounted in float32
};

int64_t cbam_channels(const Map& m) {
  return 4 * m.C * (m.C / 16);
}

int64_t cbam_pixels(const Map& m) {
  return 98 * m.h * m.w;
}

int64_t cbam_both(const Map& m) {
  return cbam_channels(m) + cbam_pixels(m);
}

int64_t context(const Map& m) {
  return 2 * m.C * m.h * m.w + 2 * m.C * (m.C / 8);
}

const Row slots[] = {
    {"se", [](const Map& m) { return 2 * m.C * (m.C / 16); }, at::kHalf},
    {"ese", [](const Map& m) { return m.C * m.C; }},
    {"eca", [](const Map& m) { return m.C * 5; }},
    {"ceca", [](const Map& m) { return m.C * 5; }},
    {"ecam", [](const Map& m) { return m.C * (m.C / 8) * (1 + 5); }},
    {"ge", [](const Map& m) { return 2 * m.C * (m.C / 16); }},
    {"gc", context},
    {"gca", context},
    {"cbam", cbam_both, at::kHalf},
    {"cbam_channel", cbam_channels, at::kHalf},
    {"cbam_spatial", cbam_pixels},
    {"cbam_reversed", cbam_both, at::kHalf},
    {"cbam_parallel", cbam_both, at::kHalf},
    {"lcbam", [](const Map& m) { return cbam_both(m) / 2; }, at::kHalf},
    {"bam",
     [](const Map& m) {
       const int64_t r = m.C / 16;
       return 2 * m.C * r + m.h * m.w * (m.C * r + 18 * r * r + r);
     }},
    {"coord", [](const Map& m) { return 2 * m.C * (m.C / 24) * (m.h + m.w); }},
    {"scoord", [](const Map& m) { return 2 * m.C * (m.C / 6) * (m.h + m.w); }},
    {"ela", [](const Map& m) { return 7 * m.C * (m.h + m.w); }},
    {"strip", [](const Map& m) { return 3 * m.C * (m.h + m.w); }},
    {"simam", [](const Map&) { return int64_t{0}; }},
    {"triplet", [](const Map& m) { return 98 * (m.C * m.w + m.C * m.h + m.h * m.w); }},
    {"sk", [](const Map& m) { return 9 * m.C * m.C * m.h * m.w + 3 * m.C * (m.C / 16); }},
    {"splat", [](const Map& m) { return 9 * m.C * m.C * m.h * m.w + 3 * m.C * (m.C / 2); }},
    {"nl",
     [](const Map& m) {
       const int64_t r = m.C / 8, N = m.h * m.w;
       return 2 * N * N * r + 4 * N * m.C * r;
     },
     at::kHalf},
    {"bat",
     [](const Map& m) {
       const int64_t r = m.C / 4, b = 7, groups = 2, N = m.h * m.w;
       return 2 * b * N * r + N * (2 * m.C * r + r * r + groups * r) + 2 * groups * groups * b * b * b;
     }},
    {"lambda",
     [](const Map& m) {
       const int64_t K = 16, H = 4, V = m.C / H, N = m.h * m.w;
       return N * K * m.C + N * K * V * 9 * 9 + N * K * V + N * m.C * (H * K + K + V);
     }},
    {"halo",
     [](const Map& m) {
       const int64_t window = 8 + 2 * 3, N = m.h * m.w;
       return 2 * N * window * window * m.C + 2 * N * window * m.C + 3 * N * m.C * m.C;
     },
     at::kHalf},
    {"bottleneck",
     [](const Map& m) {
       const int64_t N = m.h * m.w;
       return 2 * N * N * m.C + N * (m.h + m.w) * m.C + 3 * N * m.C * m.C;
     },
     at::kHalf},
    {"external", [](const Map& m) { return m.h * m.w * (2 * 64 * m.C + 2 * m.C * m.C); }},
};

TEST(ChannelAttentionCost, IsItsFormulaOnMapsOfSeveralSizes) {
  const at::NoGradGuard no_grad;
  std::vector<std::string> names;
  for (const Row& row : slots) {
    names.emplace_back(row.name);
    // Sides that 7 blocks (bat) and blocks of 8 (halo) divide.
    for (const Map& m : {Map{384, 7, 14}, Map{384, 8, 16}, Map{768, 56, 8}}) {
      if (std::string(row.name) == "bat" && m.h % 7 + m.w % 7 > 0) continue;
      if (std::string(row.name) == "halo" && m.h % 8 + m.w % 8 > 0) continue;
      auto layer = make_channel_attention(row.name, {.channels = m.C, .height = m.h, .width = m.w});
      layer.ptr()->eval();
      layer.ptr()->to(row.type);
      const MultiplyAdds counted;
      layer.forward(at::zeros({1, m.C, m.h, m.w}, row.type));
      EXPECT_EQ(counted.count(), row.multiply_adds(m)) << row.name << " " << m.C << "x" << m.h << "x" << m.w;
    }
  }
  EXPECT_EQ(names, channel_attention_names());
}

}  // namespace
}  // namespace fovea::testing
