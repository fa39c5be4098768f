#include "fovea/apps/evaluate_things.h"

#include <nlohmann/json.hpp>

#include "fovea/apps/output.h"
#include "fovea/apps/signals.h"
#include "fovea/datasets/scenes/data.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/vision/training/multi_label.h"

namespace fovea {

int evaluate_things(const NetworkOptions& options, const CaptionDataOptions& given, bool json,
                    const CommonOptions& common) {
  const Network network = load_network(options, select_runtime(common));
  require(network.runtime.dtype == at::kFloat, ErrorKind::usage, "evaluate: works in float32 alone; leave --dtype out");
  const auto labels = scene_labels();
  require(network.info.num_classes == std::ssize(labels), ErrorKind::data,
          "{}: {} classes, scenes have {} kinds of things", network.info.name, network.info.num_classes, labels.size());
  prepare_for_inference(network.model->module());
  const auto world = open_world(given.files);
  nlohmann::ordered_json answer = {{"program", "fovea evaluate"}, {"model", network.info.name}};
  std::string text = network.info.name + "\n";
  for (const CaptionData& part : open_caption_data(given, /*draw=*/false)) {
    const auto things = scene_things(world, {.split = *part.split, .count = part.count});
    const double precision = evaluate_labels(*network.model, *things, network.info.preprocess);
    if (stop_signal() != 0) return exit_code_of(stop_signal());
    answer["results"].push_back({{"data", part.name}, {"pictures", part.count}, {"mean_average_precision", precision}});
    text +=
        fmt::format("{:<16} mean average precision {:.2f} % ({} pictures)\n", part.name, 100 * precision, part.count);
  }
  print_output(json ? answer.dump(1) + "\n" : text);
  return 0;
}

}  // namespace fovea
