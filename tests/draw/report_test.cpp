#include "fovea/vision/draw/report.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using nlohmann::json;

ReportImage example() {
  at::manual_seed(3);
  ReportImage image{
      .name = "a </script><b>.png", .model = "tiny", .seen = {.left = 5, .top = 0, .width = 20, .height = 20}};
  image.picture = {.width = 30, .height = 20, .pixels = std::vector<uint8_t>(1800, 128)};
  image.predictions = {{"cat & dog", 0.75}, {"bag", 0.25}};
  image.maps.push_back({.path = "blocks.0.attn",
                        .weights = (3 * at::rand({1, 2, 7, 7})).softmax(-1),
                        .grid = {.height = 2, .width = 3, .prefix = 1}});
  image.maps.push_back({.path = "layers.0.attn",
                        .weights = (3 * at::rand({4, 2, 4, 4})).softmax(-1),
                        .grid = {.height = 3, .width = 4},
                        .window = 2,
                        .shift = 1,
                        .window_width = 2,
                        .shift_width = 1});
  image.maps.push_back({.path = "se", .kind = MapKind::channel, .weights = at::ones({1, 8})});
  image.heats.push_back(
      {.map = {.values = at::arange(6, at::kFloat).view({2, 3}) - 1,
               .method = "relevance",
               .layer = "2 layers",
               .detail = "CLS row",
               .unit = "relevance"},
       .summary = "what spoke for it",
       .score = Faithfulness{.deletion = {1, 0.5}, .insertion = {0, 1}, .deletion_area = 0.75, .insertion_area = 0.5}});
  return image;
}

json data_of(const std::string& page) {
  const std::string start = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(start) + start.size();
  return json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

std::vector<uint8_t> decoded(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
    if ((held += 6) >= 8) bytes.push_back(static_cast<uint8_t>(bits >> (held -= 8)));
  }
  EXPECT_EQ(text.size() % 4, 0u);
  return bytes;
}

template <typename T>
std::vector<T> numbers(const json& text) {
  const auto bytes = decoded(text);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(values.data()));
  return values;
}

TEST(Report, KeepsWhatItWasGiven) {
  const std::string page = html_report("about it", {example()});
  EXPECT_TRUE(is_html_report(page.substr(0, 100)));
  EXPECT_FALSE(is_html_report("<!doctype html>\n<html>"));
  const json data = data_of(page);
  EXPECT_EQ(data["about"], "about it");
  const json& image = data["images"][0];
  EXPECT_EQ(image["name"], "a </script><b>.png");
  EXPECT_EQ(image["predictions"],
            (json{{{"label", "cat & dog"}, {"score", 0.75}}, {{"label", "bag"}, {"score", 0.25}}}));
  EXPECT_EQ(image["width"], 450);  // 30 pixels, 15 times
  EXPECT_EQ(image["height"], 300);
  EXPECT_EQ(image["enlarge"], true);
  const std::vector<double> seen = image["seen"];
  EXPECT_NEAR(seen[0], 1.0 / 6, 1e-9);
  EXPECT_NEAR(seen[2], 25.0 / 30, 1e-9);
  const auto png = decoded(image["picture"].get<std::string>().substr(std::string("data:image/png;base64,").size()));
  EXPECT_EQ(std::string(png.begin() + 1, png.begin() + 4), "PNG");
  EXPECT_EQ(image["layers"].size(), 2u);

  const json& heat = image["heats"][0];
  EXPECT_EQ(numbers<uint8_t>(heat["values"]), (std::vector<uint8_t>{0, 51, 102, 153, 204, 255}));
  EXPECT_EQ(heat["low"], -1.0);
  EXPECT_EQ(heat["high"], 4.0);
  EXPECT_EQ(heat["deletion"], (json{1.0, 0.5}));
  EXPECT_EQ(heat["insertionArea"], 0.5);
}

TEST(Report, LayersHoldTheViewOfClsAndOfEveryPatch) {
  const ReportImage image = example();
  const json layer = data_of(html_report("", {image}))["images"][0]["layers"][0];
  const auto weights = image.maps[0].weights[0].to(at::kDouble);
  const auto start = numbers<uint8_t>(layer["start"]);
  const auto starts = numbers<float>(layer["starts"]);
  const auto rows = numbers<uint8_t>(layer["rows"]);
  const auto tops = numbers<float>(layer["tops"]);
  ASSERT_EQ(start.size(), 3u * 6);
  ASSERT_EQ(rows.size(), 36u);
  for (int64_t key = 0; key < 6; ++key) {
    const double mean = (weights[0][0][1 + key] + weights[1][0][1 + key]).item<double>() / 2;
    EXPECT_NEAR(start[key] / 255.0 * starts[0], mean, starts[0] / 500);
    for (int64_t head = 0; head < 2; ++head) {
      EXPECT_NEAR(start[6 * (head + 1) + key] / 255.0 * starts[head + 1], weights[head][0][1 + key].item<double>(),
                  starts[head + 1] / 500);
    }
    for (int64_t query = 0; query < 6; ++query) {
      const double both = (weights[0][1 + query][1 + key] + weights[1][1 + query][1 + key]).item<double>() / 2;
      EXPECT_NEAR(rows[6 * query + key] / 255.0 * tops[query], both, tops[query] / 500);
    }
  }
  EXPECT_EQ(numbers<int16_t>(layer["tokens"]), (std::vector<int16_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Report, WindowsKnowWhichTokensStandInThem) {
  const ReportImage image = example();
  const json layer = data_of(html_report("", {image}))["images"][0]["layers"][1];
  // 3×4 tokens rolled up and left by one, padded to 4×4, cut into windows of 2×2.
  EXPECT_EQ(numbers<int16_t>(layer["tokens"]),
            (std::vector<int16_t>{5, 6, 9, 10, 7, 4, 11, 8, 1, 2, -1, -1, 3, 0, -1, -1}));
  EXPECT_EQ(layer["places"], 4);
  const auto rows = numbers<uint8_t>(layer["rows"]);
  const auto tops = numbers<float>(layer["tops"]);
  const double both = image.maps[1].weights.select(0, 2).select(1, 1).select(1, 3).mean().item<double>();
  EXPECT_NEAR(rows[(2 * 4 + 1) * 4 + 3] / 255.0 * tops[2 * 4 + 1], both, tops[9] / 500);
}

TEST(Report, RefusesWhatItCannotShow) {
  ReportImage image = example();
  image.heats[0].map.values[0][0] = NAN;
  EXPECT_ERROR(html_report("", {image}), ErrorKind::numeric, "relevance, 2 layers, CLS row holds NaN");
  image = example();
  image.maps[0].weights[0][0][0][0] = INFINITY;
  EXPECT_ERROR(html_report("", {image}), ErrorKind::numeric, "blocks.0.attn holds NaN");
  image = example();
  image.picture = {};
  EXPECT_ERROR(html_report("", {image}), ErrorKind::data, "has no pixels");
}

}  // namespace
}  // namespace fovea
