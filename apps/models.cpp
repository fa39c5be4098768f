// fovea models: the names that --model takes.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/output.h"
#include "fovea/datasets/embedded.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/vision/models/model_config.h"
#include "fovea/vision/models/registry.h"

namespace fovea {
namespace {

struct Row {
  ModelInfo info;
  bool embedded;
};

std::vector<Row> rows() {
  std::vector<Row> rows;
  const SkipInit skip;
  for (const EmbeddedModel& model : embedded_models()) rows.push_back({create_embedded(model.name).info, true});
  for (const ModelInfo& info : model_table()) rows.push_back({info, false});
  return rows;
}

std::string as_table(const std::vector<Row>& rows) {
  std::string text = fmt::format("{:<36} {:<7} {:>8} {:>9}  {:<9} {:>5}  {:<6}  {}\n", "name", "family", "classes",
                                 "input", "resize", "crop", "mode", "weights");
  for (const auto& [info, embedded] : rows) {
    const PreprocessOptions& how = info.preprocess;
    text += fmt::format("{:<36} {:<7} {:>8} {:>9}  {:<9} {:>5.3f}  {:<6}  {}\n", info.name, info.family,
                        info.num_classes, fmt::format("{}x{}", how.height, how.width), name_of(how.interpolation),
                        how.crop_pct, name_of(how.crop_mode), embedded ? "embedded" : "--weights FILE");
  }
  return text;
}

std::string as_json(const std::vector<Row>& rows) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& [info, embedded] : rows) {
    const PreprocessOptions& how = info.preprocess;
    list.push_back({{"name", info.name},
                    {"family", info.family},
                    {"classes", info.num_classes},
                    {"embedded", embedded},
                    {"input_size", {3, how.height, how.width}},
                    {"interpolation", name_of(how.interpolation)},
                    {"crop_pct", how.crop_pct},
                    {"crop_mode", name_of(how.crop_mode)},
                    {"mean", how.mean},
                    {"std", how.std}});
  }
  return list.dump(2) + "\n";
}

}  // namespace

Command add_models(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("models", "List the networks");
  auto json = std::make_shared<bool>(false);
  app->add_flag("--json", *json, "Answer as JSON");
  add_verbose_option(*app, common);
  return {app, [json] {
            print_output(*json ? as_json(rows()) : as_table(rows()));
            return 0;
          }};
}

}  // namespace fovea
