#include "fovea/vision/draw/layout.h"

#include <gtest/gtest.h>

#include "fovea/vision/draw/text.h"

namespace fovea {
namespace {

const std::vector<std::string> kTitle = {"vit_base_patch16_224: tabby cat 0.731",
                                         "attention, blocks.11.attn, mean of 12 heads, CLS row"};

bool inside(const Layout& layout, const PixelBox& box) {
  return box.left >= 0 && box.top >= 0 && box.left + box.width <= layout.width && box.top + box.height <= layout.height;
}

TEST(Layout, SmallPicturesGrowByAWholeFactorAndLargeOnesKeepTheirSize) {
  struct Case {
    int64_t width, height, factor;
  };
  for (const auto& [width, height, factor] : std::vector<Case>{
           {28, 28, 16}, {1, 1, 448}, {32, 20, 14}, {447, 100, 2}, {448, 300, 1}, {300, 448, 1}, {4000, 3000, 1}}) {
    for (const Layout& layout : {overlay_layout(width, height, kTitle), bars_layout(width, height, kTitle)}) {
      EXPECT_EQ(layout.factor, factor) << width << "x" << height;
      EXPECT_EQ(layout.picture.width, width * factor);
      EXPECT_EQ(layout.picture.height, height * factor);
      EXPECT_TRUE(inside(layout, layout.picture) && inside(layout, layout.panel)) << width << "x" << height;
      EXPECT_GE(layout.panel.left, layout.picture.left + layout.picture.width);
    }
  }
}

TEST(Layout, OneLineKeepsTheSizeWhateverIsSaid) {
  const std::string lengthy(200, 'w'),
      words = "vit_base_patch16_224: a label of many, many, many, many, many, many, many, many words 12 %";
  const Layout brief = overlay_layout(300, 200, {"short", "line"}, /*one_line=*/true);
  for (const std::string& title : {words, lengthy}) {
    const Layout cut = overlay_layout(300, 200, {title, "line"}, /*one_line=*/true);
    ASSERT_EQ(cut.title.size(), 2u);
    EXPECT_TRUE(cut.title[0].ends_with("...")) << cut.title[0];
    EXPECT_LE(static_cast<double>(cut.picture.left) + text_width(cut.title[0], cut.em), cut.width);
    EXPECT_EQ(cut.height, brief.height);
    EXPECT_EQ(cut.width, brief.width);
  }
  EXPECT_GT(overlay_layout(300, 200, {words, "line"}).height, brief.height);
}

TEST(Layout, TextGrowsWithThePictureAndTheTitleFits) {
  EXPECT_NEAR(overlay_layout(28, 28, kTitle).em, 12.5, 0.1);
  EXPECT_NEAR(overlay_layout(4000, 3000, kTitle).em, 111, 1);
  for (const auto& [width, height] : std::vector<std::pair<int64_t, int64_t>>{{28, 28}, {4000, 3000}, {40, 4000}}) {
    const Layout layout = overlay_layout(width, height, kTitle);
    ASSERT_GE(layout.title.size(), 2u);
    for (const std::string& line : layout.title) {
      EXPECT_LE(static_cast<double>(layout.picture.left) + text_width(line, layout.em), layout.width) << line;
    }
    const double lines = static_cast<double>(layout.title.size()) * kLineHeight * layout.em;
    EXPECT_GE(static_cast<double>(layout.picture.top), lines);
  }
}

TEST(Layout, AThinPictureDoesNotMakeAHugeCanvas) {
  for (const auto& [width, height] : std::vector<std::pair<int64_t, int64_t>>{{60000, 2}, {2, 60000}}) {
    const Layout layout = overlay_layout(width, height, kTitle);
    EXPECT_LE(layout.width * layout.height, 60'000'000);
  }
}

TEST(Layout, WrapsAtSpacesAndCutsWhatIsTooLong) {
  const double em = 20;
  EXPECT_EQ(wrap_text("one two", em, text_width("one two", em)), (std::vector<std::string>{"one two"}));
  EXPECT_EQ(wrap_text("one two", em, text_width("one two", em) - 1), (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(wrap_text("", em, 100).empty());
  const auto cut = wrap_text("a_word_without_any_space", em, 8 * em);
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_TRUE(cut[0].ends_with("...") && cut[0].starts_with("a_word")) << cut[0];
  EXPECT_LE(text_width(cut[0], em), 8 * em);
}

}  // namespace
}  // namespace fovea
