// Every method of explanation by name, one small interface for every family of models.
//
//     Explanation seen = explain(*model, x, {.method = "relevance"});
//     draw_overlay(image, seen.heat)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/explain/evidence.h"
#include "fovea/vision/explain/heat_map.h"

namespace fovea {

struct ExplainOptions {
  std::string method = {};             // a name of explain_methods()
  std::string layer = {};              // of the methods that look at one layer; their usual one unless given
  std::optional<int64_t> head = {};    // of the methods that look at heads; all of them unless given
  std::optional<int64_t> query = {};   // of the methods of tokens: whose row, prefix tokens counted first
  std::optional<int64_t> target = {};  // of the methods that ask about a class; the most likely one unless given
};

struct ExplainMethod {
  std::string name;
  std::string summary;  // one line for help and tables
  bool layer = false;   // takes ExplainOptions::layer
  bool head = false;
  bool query = false;
  bool target = false;       // asks about a class
  bool many_passes = false;  // runs the network for each part of the picture, and not back
};

// All of them, in the order of the table.
const std::vector<ExplainMethod>& explain_methods();

struct Explanation {
  HeatMap heat;
  at::Tensor logits;   // [classes] float32 on the CPU
  int64_t target = 0;  // the class asked about
};

// x [1,3,h,w], normalised, on the model's device and in its type. The model is in evaluation mode.
// Throws Error(usage) for an unknown method, naming all, for an option that the method does not take, and where the
// model has nothing for the method to look at.
Explanation explain(ImageModel& model, const at::Tensor& x, const ExplainOptions& options);

// What several methods say of one picture.
struct Explanations {
  std::vector<HeatMap> heats;  // in the order of the methods
  Evidence evidence;           // with all rows of all maps
};

// As explain with the usual options of each method, asking for one class: the network runs once, but for methods of
// many passes, and goes back once where another method asks about the class. Throws as explain.
Explanations explain_all(ImageModel& model, const at::Tensor& x, const std::vector<ExplainMethod>& methods,
                         std::optional<int64_t> target = {});

// The methods that the model has something for, in the order of the table. height × width: of an input it takes.
std::vector<ExplainMethod> methods_for(ImageModel& model, int64_t height, int64_t width);

}  // namespace fovea
