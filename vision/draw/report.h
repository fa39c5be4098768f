// One page of HTML that shows what a network answered and where it looked: no network, no other file, works from a
// disk.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/explain/faithfulness.h"
#include "fovea/vision/explain/heat_map.h"
#include "fovea/vision/image/geometry.h"
#include "fovea/vision/image/image.h"

namespace fovea {

struct ReportPrediction {
  std::string label;
  double score = 0;  // softmax
};

struct ReportHeat {
  HeatMap map;
  std::string summary;  // what the method is, in a few words
  std::optional<Faithfulness> score = {};
};

// A word of a caption and where the network looked for it.
struct ReportWord {
  std::string text;
  HeatMap map;
};

struct ReportImage {
  std::string name;
  std::string model;  // that made the predictions
  Image picture;      // the original
  Rectangle seen;     // where the network's input lies on it
  std::vector<ReportPrediction> predictions = {};
  std::vector<AttentionMap> maps = {};  // self-attention of this image alone, all rows; others are passed over
  std::vector<ReportHeat> heats = {};
  std::string captioner = {};  // the network that wrote the words
  std::vector<ReportWord> words = {};
  Rectangle words_seen = {};  // where its input lies on the original
};

// The page. Pictures are shown at up to 1,024 pixels, maps are kept in 8 bits at the size of their grid, so that twelve
// layers of ViT-B stay below 1 MB. `about` stands below the heading.
// Throws Error(usage) in a build without OpenCV, Error(numeric) for maps with NaN or infinity.
std::string html_report(const std::string& about, const std::vector<ReportImage>& images);

// The same pictures as the page's own script takes them: a JSON array for show(…) of viewer_assets(). Throws as above.
std::string report_json(const std::vector<ReportImage>& images);

// Style sheet and script of the view, for other pages that show it.
struct ViewerAssets {
  const char* style;
  const char* script;
};
ViewerAssets viewer_assets();

// Whether a file of that beginning was written by html_report; 100 bytes suffice.
bool is_html_report(const std::string& beginning);

}  // namespace fovea
