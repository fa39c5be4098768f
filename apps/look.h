// What the report and the server show of a picture: what it is, where the network looked, what a captioner says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/apps/network.h"
#include "fovea/captioning/models/load_captioner.h"
#include "fovea/vision/draw/report.h"
#include "fovea/vision/explain/methods.h"

namespace fovea {

// The methods that the network has something for, but those that the page shows by layers, heads and points itself,
// and those that make people wait.
std::vector<ExplainMethod> methods_to_show(const Network& network);

struct LookOptions {
  int64_t top_k = 5;
  std::vector<ExplainMethod> methods = {};  // of methods_to_show
  bool scores = true;                       // how faithful each of them is, which takes most of the time
};

// Fills in what the network answers to report.picture. After a signal the methods not yet scored are left out.
void look_at(ReportImage& report, const Network& network, const LookOptions& options);

// Fills in its words.
void read_words(ReportImage& report, const LoadedCaptioner& captioner, const Runtime& runtime, int64_t beams);

}  // namespace fovea
