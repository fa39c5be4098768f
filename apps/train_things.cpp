// fovea train --data scenes: a classifier that names every thing on a picture.
#include <filesystem>

#include "fovea/apps/output.h"
#include "fovea/apps/resources.h"
#include "fovea/apps/signals.h"
#include "fovea/apps/train.h"
#include "fovea/datasets/scenes/data.h"
#include "fovea/modules/error.h"
#include "fovea/vision/models/model_config.h"
#include "fovea/vision/training/multi_label.h"

namespace fovea {

int train_things(const TrainArguments& arguments, const Runtime& runtime) {
  require(arguments.teacher.empty(), ErrorKind::usage, "--teacher is for pictures of one label, not for scenes");
  auto [named, labels] = start_network(arguments, scene_labels());
  named.info.multi_label = true;
  named.model->module().to(runtime.device);
  const PreprocessOptions& how = named.info.preprocess;
  const auto world = open_world(arguments.scenes);
  // Drawn at the size of the network's input, which costs a tenth of a whole scene.
  const auto train = scene_things(world, {.split = arguments.crowded ? scenes::Split::crowded : scenes::Split::train,
                                          .count = arguments.pictures.value_or(20'000),
                                          .endless = true,
                                          .side = std::min(std::min(how.height, how.width), scenes::kSide)});
  const auto test = scene_things(world, {.split = scenes::Split::test, .count = arguments.test_pictures.value_or(500)});

  TrainProgress progress;
  const RunResult result =
      train_multi_label(*named.model, {.train = *train, .test = test.get()},
                        {.run = run_options(arguments, recipe_of(arguments, default_recipe("things"))),
                         .model = record_name(named.info),
                         .data = arguments.crowded ? "scenes crowded" : "scenes",
                         .preprocess = how,
                         .place_share = arguments.place_share.value_or(1)},
                        progress.callbacks({"mean average precision"}));
  progress.clear();
  if (result.interrupted) return exit_code_of(stop_signal());
  write_model_config((std::filesystem::path(arguments.output) / "config.json").string(), named.info, labels);
  print_output(fmt::format("mean average precision {:.2f} %\n", 100 * result.figures.at(0)));
  return 0;
}

}  // namespace fovea
