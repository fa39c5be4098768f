// fovea models: the names that --model takes, what the networks cost, and whose weights they read.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <array>
#include <nlohmann/json.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/output.h"
#include "fovea/datasets/embedded.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/vision/models/model_config.h"
#include "fovea/vision/models/published.h"

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

struct Row {
  ModelInfo info;
  bool embedded;
};

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  const SkipInit skip;
  for (const EmbeddedModel& model : embedded_models()) rows.push_back({create_embedded(model.name).info, true});
  for (const EmbeddedCaptioner& captioner : embedded_captioners()) {
    rows.push_back({create_model(captioner.encoder).info, true});
  }
  for (const ModelInfo& info : model_table()) rows.push_back({info, false});
  return rows;
}

Row row_named(const std::string& name) {
  const SkipInit skip;
  if (find_embedded(name) != nullptr) return {create_embedded(name).info, true};
  const EmbeddedCaptioner* const captioner = find_embedded_captioner(name);
  if (captioner != nullptr && captioner->encoder == name) return {create_model(name).info, true};
  return {model_info(name), false};
}

// "4.12 G", "25.6 M", "104 k".
std::string rounded(int64_t number) {
  constexpr std::pair<double, char> units[] = {{1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}};
  for (const auto& [size, letter] : units) {
    if (static_cast<double>(number) >= size)
      return fmt::format("{:.3g} {}", static_cast<double>(number) / size, letter);
  }
  return std::to_string(number);
}

std::string colours(const PreprocessOptions& how) {
  return fmt::format("({:.3g})/({:.3g})", fmt::join(how.mean, " "), fmt::join(how.std, " "));
}

// "bicubic 0.9 center (0.5 0.5 0.5)/(0.5 0.5 0.5)".
std::string described(const PreprocessOptions& how) {
  return fmt::format("{} {:.3g} {} {}", name_of(how.interpolation), how.crop_pct, name_of(how.crop_mode), colours(how));
}

std::string or_dash(std::string_view text) {
  return text.empty() ? "-" : std::string(text);
}

std::string layouts(const Row& row) {
  return fmt::format("{}", fmt::join(source_layouts(row.info.name), ", "));
}

constexpr const char* columns = "{:<36} {:>8} {:>8} {:>9}  {:<72} {:<18} {}\n";

std::string as_table(const std::vector<Row>& rows) {
  std::string text = fmt::format(columns, "name", "params", "mul-adds", "input",
                                 "preprocessing: filter, crop, mean/std", "licence", "layouts of weights");
  for (const Row& row : rows) {
    const ModelFacts& facts = facts_of(row.info.name);
    const PreprocessOptions& how = row.info.preprocess;
    text += fmt::format(columns, row.info.name, rounded(facts.parameters), rounded(facts.multiply_adds),
                        fmt::format("{}x{}", how.height, how.width), described(how), or_dash(facts.licence),
                        row.embedded ? "shipped" : layouts(row));
  }
  return text;
}

std::string as_page(const Row& row) {
  const ModelFacts& facts = facts_of(row.info.name);
  const PreprocessOptions& how = row.info.preprocess;
  std::string text;
  const auto line = [&](std::string_view what, const std::string& value) {
    text += fmt::format("{:<16}{}\n", what, value);
  };
  line("name", row.info.name);
  line("family", row.info.family);
  line("parameters", std::to_string(facts.parameters));
  line("multiply-adds", std::to_string(facts.multiply_adds));
  line("classes", std::to_string(row.info.num_classes));
  line("input", fmt::format("{}x{}", how.height, how.width));
  line("preprocessing", described(how));
  line("layouts", row.embedded ? "shipped" : layouts(row));
  line("licence", or_dash(facts.licence));
  for (const WeightTag& tag : row.embedded ? std::vector<WeightTag>() : weight_tags(model_info(row.info.name))) {
    line("tag", fmt::format("{:<28} {}x{} {}, {} classes, {}", tag.tag, tag.preprocess.height, tag.preprocess.width,
                            described(tag.preprocess), tag.num_classes, or_dash(tag.licence)));
  }
  return text;
}

Json preprocessing(const PreprocessOptions& how) {
  return {{"input_size", {3, how.height, how.width}},
          {"interpolation", name_of(how.interpolation)},
          {"crop_pct", how.crop_pct},
          {"crop_mode", name_of(how.crop_mode)},
          {"mean", how.mean},
          {"std", how.std}};
}

Json as_json(const Row& row) {
  const ModelFacts& facts = facts_of(row.info.name);
  Json json = {{"name", row.info.name},           {"family", row.info.family},
               {"classes", row.info.num_classes}, {"embedded", row.embedded},
               {"parameters", facts.parameters},  {"multiply_adds", facts.multiply_adds},
               {"licence", facts.licence},        {"layouts", source_layouts(row.info.name)}};
  json.update(preprocessing(row.info.preprocess));
  Json tags = Json::object();
  for (const WeightTag& tag : row.embedded ? std::vector<WeightTag>() : weight_tags(model_info(row.info.name))) {
    tags[tag.tag] = {{"classes", tag.num_classes}, {"licence", tag.licence}};
    tags[tag.tag].update(preprocessing(tag.preprocess));
  }
  json["tags"] = std::move(tags);
  return json;
}

std::string answer(const std::string& name, bool json) {
  if (!name.empty()) {
    const Row row = row_named(name);
    return json ? as_json(row).dump(2) + "\n" : as_page(row);
  }
  const std::vector<Row> rows = all_rows();
  if (!json) return as_table(rows);
  auto list = Json::array();
  for (const Row& row : rows) list.push_back(as_json(row));
  return list.dump(2) + "\n";
}

}  // namespace

Command add_models(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("models", "List the networks, or say more of one");
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  app->add_option("NAME", *name, "A network, also with the tag of its weights (resnet50.a1_in1k)");
  app->add_flag("--json", *json, "Answer as JSON");
  add_verbose_option(*app, common);
  return {app, [name, json] {
            print_output(answer(*name, *json));
            return 0;
          }};
}

}  // namespace fovea
