#include "fovea/vision/draw/report.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fovea/modules/attention/diagnostics.h"
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/page.h"
#include "fovea/vision/explain/attention_heat.h"
#include "fovea/vision/explain/flow.h"
#include "fovea/vision/explain/stitch_windows.h"
#include "fovea/vision/image/resize.h"

namespace fovea {

extern const char* const report_html;  // files of draw/web, by CMake
extern const char* const viewer_js;

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t longest_side = 1024;  // pixels of a picture in the page
constexpr int64_t enlarged_below = 448;

std::string base64_of(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return base64(whole.const_data_ptr(), whole.nbytes());
}

// [.., n] in steps of 255 between `low` and each row's end of the scale.
at::Tensor in_steps(const at::Tensor& values, const at::Tensor& low, const at::Tensor& high) {
  const at::Tensor spread = high - low;
  const at::Tensor share = (values - low) / at::where(spread > 0, spread, at::ones_like(spread));
  return (share * 255).round().clamp(0, 255).to(at::kByte);
}

void check_finite(const at::Tensor& values, const std::string& what) {
  require(at::isfinite(values).all().item<bool>(), ErrorKind::numeric, "html_report: {} holds NaN or infinity", what);
}

Json heat_json(const ReportHeat& heat) {
  const at::Tensor& values = heat.map.values;
  check_finite(values, describe(heat.map));
  Json json = {{"method", heat.map.method},
               {"summary", heat.summary},
               {"layer", heat.map.layer},
               {"detail", heat.map.detail},
               {"unit", heat.map.unit},
               {"h", values.size(0)},
               {"w", values.size(1)},
               {"low", values.min().item<double>()},
               {"high", values.max().item<double>()},
               {"values", base64_of(in_steps(values, values.min(), values.max()))}};
  if (heat.score) {
    json["deletion"] = heat.score->deletion;
    json["insertion"] = heat.score->insertion;
    json["deletionArea"] = heat.score->deletion_area;
    json["insertionArea"] = heat.score->insertion_area;
  }
  return json;
}

// Attention between the patches of one layer, mean over heads: [windows,places,places] and which token stands where.
struct Between {
  at::Tensor rows;
  at::Tensor tokens;  // int64 [windows,places], −1 for padding
};

Between between_patches(const AttentionMap& map) {
  const at::Tensor fused = of_image(map, map.weights, 0).mean(-3);
  if (map.window > 0) return {fused, window_tokens(window_layout(map))};
  const int64_t prefix = map.grid.prefix, patches = map.grid.height * map.grid.width;
  return {fused.slice(0, prefix).slice(1, prefix).unsqueeze(0), at::arange(patches, at::kLong).unsqueeze(0)};
}

Json layer_json(const AttentionMap& map) {
  check_finite(map.weights, map.path);
  const int64_t heads = map.weights.size(1);
  const std::vector<AttentionMap> alone = {map};
  std::vector<at::Tensor> starts = {attention_heat(alone).values.flatten()};
  for (int64_t head = 0; head < heads; ++head) {
    starts.push_back(attention_heat(alone, {.head = head}).values.flatten());
  }
  const at::Tensor start = at::stack(starts);  // [1 + heads, h·w]
  const at::Tensor start_tops = start.amax(1, /*keepdim=*/true);
  const Between between = between_patches(map);
  const at::Tensor tops = between.rows.amax(2, /*keepdim=*/true);
  const at::Tensor zero = at::zeros({});
  return {{"path", map.path},
          {"h", map.grid.height},
          {"w", map.grid.width},
          {"heads", heads},
          {"begins", map.window > 0 || map.grid.prefix == 0 ? "mean of all points" : "view of CLS"},
          {"places", between.tokens.size(1)},
          {"start", base64_of(in_steps(start, zero, start_tops))},
          {"starts", base64_of(start_tops)},
          {"rows", base64_of(in_steps(between.rows, zero, tops))},
          {"tops", base64_of(tops)},
          {"tokens", base64_of(between.tokens.to(at::kShort))}};
}

Json heads_json(const AttentionMap& map) {
  double entropy = 0;
  int64_t idle = 0, twins = 0;
  const std::vector<HeadReport> heads = classify_heads(map.weights);
  for (const HeadReport& head : heads) {
    entropy += head.entropy / static_cast<double>(heads.size());
    idle += head.idle;
    twins += head.twin.has_value();
  }
  return {{"layer", map.path}, {"entropy", entropy}, {"idle", idle}, {"twins", twins}};
}

Json image_json(const ReportImage& image) {
  const int64_t width = image.picture.width, height = image.picture.height;
  require(width > 0 && height > 0, ErrorKind::data, "html_report: {} has no pixels", printable(image.name));
  const int64_t side = std::max(width, height);
  const int64_t factor = side < enlarged_below ? (enlarged_below + side - 1) / side : 1;
  const double scale = std::min(1.0, static_cast<double>(longest_side) / static_cast<double>(side));
  const auto shown = [&](int64_t pixels) {
    return std::max<int64_t>(1, static_cast<int64_t>(std::lround(static_cast<double>(pixels) * scale)));
  };
  const Image picture =
      scale < 1 ? resize(image.picture, shown(width), shown(height), Interpolation::bilinear) : image.picture;
  const auto share = [](double pixels, int64_t of) { return std::clamp(pixels / static_cast<double>(of), 0.0, 1.0); };
  const auto shares_of = [&](const Rectangle& seen) {
    return Json{share(seen.left, width), share(seen.top, height), share(seen.left + seen.width, width),
                share(seen.top + seen.height, height)};
  };

  Json json = {{"name", image.name},
               {"model", image.model},
               {"width", picture.width * factor},
               {"height", picture.height * factor},
               {"enlarge", factor > 1},
               {"picture", factor > 1 ? png_url(picture) : jpeg_url(picture)},
               {"seen", shares_of(image.seen)},
               {"captioner", image.captioner},
               {"wordsSeen", shares_of(image.words_seen)},
               {"words", Json::array()},
               {"predictions", Json::array()},
               {"layers", Json::array()},
               {"heads", Json::array()},
               {"heats", Json::array()}};
  for (const ReportPrediction& prediction : image.predictions) {
    json["predictions"].push_back({{"label", prediction.label}, {"score", prediction.score}});
  }
  for (const AttentionMap& map : image.maps) {
    if (map.kind != MapKind::tokens || map.weights.size(2) != map.weights.size(3)) continue;
    json["layers"].push_back(layer_json(map));
    json["heads"].push_back(heads_json(map));
  }
  for (const ReportHeat& heat : image.heats) json["heats"].push_back(heat_json(heat));
  for (const ReportWord& word : image.words) {
    Json one = heat_json({.map = word.map});
    one["word"] = word.text;
    json["words"].push_back(std::move(one));
  }
  return json;
}

}  // namespace

std::string html_report(const std::string& about, const std::vector<ReportImage>& images) {
  Json data = {{"about", about}, {"images", Json::array()}};
  for (const ReportImage& image : images) data["images"].push_back(image_json(image));
  std::string page = report_html;
  fill_in(page, "/*STYLE*/", viewer_css);
  fill_in(page, "/*SCRIPT*/", viewer_js);
  fill_in(page, "/*DATA*/",
          inside_script(data.dump(-1, ' ', false, Json::error_handler_t::replace)));  // may hold any text
  return page;
}

std::string report_json(const std::vector<ReportImage>& images) {
  Json data = Json::array();
  for (const ReportImage& image : images) data.push_back(image_json(image));
  return data.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ViewerAssets viewer_assets() {
  return {.style = viewer_css, .script = viewer_js};
}

bool is_html_report(const std::string& beginning) {
  return beginning.starts_with("<!doctype html>\n<!-- written by fovea report -->");
}

}  // namespace fovea
