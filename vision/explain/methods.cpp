#include "fovea/vision/explain/methods.h"

#include <ATen/ATen.h>
#include <re2/re2.h>

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/vision/explain/attention_heat.h"
#include "fovea/vision/explain/class_activation.h"
#include "fovea/vision/explain/gates.h"
#include "fovea/vision/explain/occlusion.h"
#include "fovea/vision/explain/relevance.h"
#include "fovea/vision/explain/rollout.h"

namespace fovea {
namespace {

enum class Needs {
  row,      // attention of the one row asked for, all rows where there is no CLS
  rows,     // attention, all rows
  gates,    // maps of CBAM
  outputs,  // what a norm or stage gave
  answers,  // what the network says of other pictures
};

// What there is to explain a picture with.
struct Case {
  ImageModel& model;
  const at::Tensor& x;
  const Evidence& evidence;
};

struct Row {
  ExplainMethod method;
  Needs needs;
  HeatMap (*make)(const Case&, const ExplainOptions&);

  // Whether the network has to be gone back through.
  bool gradients() const { return method.target && !method.many_passes; }
};

// The output that a method looks at: the layer named; else the features of a convolutional network, or in a
// transformer what goes into the last attention: behind it, nothing but CLS reaches the logits.
const LayerOutput& select_output(const Evidence& evidence, const std::string& layer) {
  const auto& all = evidence.outputs;
  if (layer.empty()) {
    const bool tokens = all.back().grid.prefix > 0;
    return tokens && all.size() > 1 ? all[all.size() - 2] : all.back();
  }
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& a) { return a.path == layer; });
  require(found != all.end(), ErrorKind::usage, "layer {}: gives no features; name a norm or a stage, or \"features\"",
          printable(layer));
  return *found;
}

template <CamKind kind>
HeatMap cam(const Case& given, const ExplainOptions& options) {
  return class_activation(select_output(given.evidence, options.layer), kind);
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {{.name = "attention", .summary = "what one layer attends to", .layer = true, .head = true, .query = true},
       Needs::row,
       [](const Case& given, const ExplainOptions& o) {
         return attention_heat(given.evidence.maps, {.layer = o.layer, .head = o.head, .query = o.query});
       }},
      {{.name = "rollout", .summary = "attention followed through all layers", .head = true, .query = true},
       Needs::rows,
       [](const Case& given, const ExplainOptions& o) {
         return rollout(given.evidence.maps, {.head = o.head, .query = o.query});
       }},
      {{.name = "gradient-rollout",
        .summary = "rollout of attention weighed by its gradient",
        .head = true,
        .query = true,
        .target = true},
       Needs::rows,
       [](const Case& given, const ExplainOptions& o) {
         return rollout(given.evidence.maps,
                        {.head = o.head, .query = o.query, .answer = given.evidence.answer(), .gradients = true});
       }},
      {{.name = "gradient-attention",
        .summary = "one layer's attention weighed by its gradient",
        .layer = true,
        .head = true,
        .query = true,
        .target = true},
       Needs::rows,
       [](const Case& given, const ExplainOptions& o) {
         return attention_heat(given.evidence.maps,
                               {.layer = o.layer, .head = o.head, .query = o.query, .gradients = true});
       }},
      {{.name = "relevance", .summary = "Chefer's relevance through all layers", .query = true, .target = true},
       Needs::rows,
       [](const Case& given, const ExplainOptions& o) {
         return relevance(given.evidence.maps, {.query = o.query, .answer = given.evidence.answer()});
       }},
      {{.name = "gradcam", .summary = "features weighed by their mean gradient", .layer = true, .target = true},
       Needs::outputs,
       cam<CamKind::grad_cam>},
      {{.name = "gradcam++", .summary = "features weighed by their positive gradients", .layer = true, .target = true},
       Needs::outputs,
       cam<CamKind::grad_cam_plus_plus>},
      {{.name = "layercam", .summary = "features weighed place by place", .layer = true, .target = true},
       Needs::outputs,
       cam<CamKind::layer_cam>},
      {{.name = "eigencam", .summary = "main axis of the features, for no class", .layer = true},
       Needs::outputs,
       cam<CamKind::eigen_cam>},
      {{.name = "spatial", .summary = "spatial gates of CBAM", .layer = true},
       Needs::gates,
       [](const Case& given, const ExplainOptions& o) {
         return spatial_gates(given.evidence.maps, {.layer = o.layer});
       }},
      {{.name = "occlusion",
        .summary = "loss of the answer as each place is hidden",
        .target = true,
        .many_passes = true},
       Needs::answers,
       [](const Case& given, const ExplainOptions&) {
         return occlusion(given.model, given.x, given.evidence.targets[0]);
       }},
  };
  return table;
}

const Row& find_row(const std::string& name) {
  const auto found = std::find_if(rows().begin(), rows().end(), [&](const Row& r) { return r.method.name == name; });
  if (found != rows().end()) return *found;
  std::string names;
  for (const ExplainMethod& method : explain_methods()) names += (names.empty() ? "" : ", ") + method.name;
  fail(ErrorKind::usage, "unknown method {}, there are: {}", printable(name), names);
}

void check_options(const ExplainMethod& method, const ExplainOptions& options) {
  const auto refuse = [&](bool given, bool taken, const char* what) {
    require(!given || taken, ErrorKind::usage, "method {} takes no {}", method.name, what);
  };
  refuse(!options.layer.empty(), method.layer, "layer");
  refuse(options.head.has_value(), method.head, "head");
  refuse(options.query.has_value(), method.query, "query");
  refuse(options.target.has_value(), method.target, "class");
}

// The outputs that methods look at unless told: see select_output.
const char* usual_outputs(const TokenGrid& grid) {
  return grid.prefix > 0 ? R"(.*\.norm1)" : "";
}

RecorderOptions recorder_options(const Row& row, const ExplainOptions& options, const TokenGrid& grid) {
  RecorderOptions recorder{.gradients = row.gradients()};
  if (row.needs == Needs::row && (options.query || grid.prefix > 0)) recorder.queries = {options.query.value_or(0)};
  const bool attends = row.needs != Needs::outputs && row.needs != Needs::answers;
  if (!attends) recorder.layers = "";  // the network itself, which attends to nothing
  if (row.needs != Needs::outputs) return recorder;
  if (options.layer.empty()) {
    recorder.outputs = usual_outputs(grid);
  } else if (options.layer != "features") {
    recorder.outputs = RE2::QuoteMeta(options.layer);
  }
  return recorder;
}

}  // namespace

const std::vector<ExplainMethod>& explain_methods() {
  static const std::vector<ExplainMethod> methods = [] {
    std::vector<ExplainMethod> all;
    for (const Row& row : rows()) all.push_back(row.method);
    return all;
  }();
  return methods;
}

Explanation explain(ImageModel& model, const at::Tensor& x, const ExplainOptions& options) {
  const Row& row = find_row(options.method);
  check_options(row.method, options);
  const TokenGrid grid = model.grid(x.size(2), x.size(3));
  const Evidence evidence =
      gather_evidence(model, x, {.recorder = recorder_options(row, options, grid), .target = options.target});
  return {.heat = row.make({model, x, evidence}, options), .logits = evidence.logits[0], .target = evidence.targets[0]};
}

Explanations explain_all(ImageModel& model, const at::Tensor& x, const std::vector<ExplainMethod>& methods,
                         std::optional<int64_t> target) {
  RecorderOptions recorder;
  for (const ExplainMethod& method : methods) {
    const Row& row = find_row(method.name);
    recorder.gradients = recorder.gradients || row.gradients();
    if (row.needs == Needs::outputs) recorder.outputs = usual_outputs(model.grid(x.size(2), x.size(3)));
  }
  Explanations all{.heats = {}, .evidence = gather_evidence(model, x, {.recorder = recorder, .target = target})};
  for (const ExplainMethod& method : methods) {
    all.heats.push_back(find_row(method.name).make({model, x, all.evidence}, {}));
  }
  return all;
}

std::vector<ExplainMethod> methods_for(ImageModel& model, int64_t height, int64_t width) {
  const auto options = model.module().parameters().front().options().requires_grad(false);
  const Evidence evidence = gather_evidence(model, at::zeros({1, 3, height, width}, options));
  const auto has = [&](MapKind kind) {
    return std::any_of(evidence.maps.begin(), evidence.maps.end(), [&](const auto& map) { return map.kind == kind; });
  };
  // Attention of a few queries, as that of pooling and of CaiT's class token, leads from no token to another.
  const bool flows = std::all_of(evidence.maps.begin(), evidence.maps.end(), [](const auto& map) {
    return map.kind != MapKind::tokens || map.weights.size(2) == map.weights.size(3);
  });
  std::vector<ExplainMethod> methods;
  for (const Row& row : rows()) {
    const bool answers = row.needs == Needs::outputs || row.needs == Needs::answers ||
                         (row.needs == Needs::gates && has(MapKind::spatial)) ||
                         (row.needs == Needs::row && has(MapKind::tokens)) ||
                         (row.needs == Needs::rows && has(MapKind::tokens) && flows);
    if (answers) methods.push_back(row.method);
  }
  return methods;
}

}  // namespace fovea
