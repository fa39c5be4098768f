#include "fovea/apps/look.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "fovea/apps/signals.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/modules/error.h"

namespace fovea {

std::vector<ExplainMethod> methods_to_show(const Network& network) {
  const PreprocessOptions& size = network.info.preprocess;
  std::vector<ExplainMethod> methods = methods_for(*network.model, size.height, size.width);
  std::erase_if(methods, [](const ExplainMethod& method) {
    return method.name == "attention" || method.name == "gradient-attention" || method.many_passes;
  });
  return methods;
}

void look_at(ReportImage& report, const Network& network, const LookOptions& options) {
  const PreprocessOptions& size = network.info.preprocess;
  report.model = network.info.name;
  report.seen = crop_geometry(report.picture.width, report.picture.height, size).in_original();
  const auto x = preprocess(report.picture, size).unsqueeze(0).to(network.runtime.device, network.runtime.dtype);
  Explanations seen = explain_all(*network.model, x, options.methods);
  for (Prediction& one : network.best(seen.evidence.logits[0], options.top_k)) {
    report.predictions.push_back({.label = std::move(one.label), .score = one.score});
  }
  report.maps = std::move(seen.evidence.maps);
  for (size_t i = 0; i < seen.heats.size() && stop_signal() == 0; ++i) {
    ReportHeat heat{.map = std::move(seen.heats[i]), .summary = options.methods[i].summary};
    if (options.scores) {
      heat.score = faithfulness(*network.model, x, heat.map.values, seen.evidence.targets[0],
                                {.multi_label = network.info.multi_label});
    }
    report.heats.push_back(std::move(heat));
  }
}

void read_words(ReportImage& report, const LoadedCaptioner& captioner, const Runtime& runtime, int64_t beams) {
  const c10::InferenceMode inference;
  const auto x = preprocess(report.picture, captioner.preprocess).unsqueeze(0).to(runtime.device, runtime.dtype);
  GenerationOptions generation = captioner.usual.options;
  generation.sample = false;
  generation.beams = beams;
  generation.n_best = 1;
  const auto captions = caption(captioner, x, {.generation = generation, .maps = true});
  report.captioner = captioner.name;
  report.words_seen = crop_geometry(report.picture.width, report.picture.height, captioner.preprocess).in_original();
  for (const CaptionWord& word : captions.front().front().words) {
    report.words.push_back({.text = printable(word.text),
                            .map = {.values = word.heat.clone(),
                                    .method = "caption",
                                    .detail = fmt::format("where \"{}\" was read", printable(word.text)),
                                    .unit = "attention weight"}});
  }
}

}  // namespace fovea
