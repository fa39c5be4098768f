#include "fovea/apps/explain_things.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <set>

#include "fovea/apps/output.h"
#include "fovea/apps/pointing.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/datasets/scenes/data.h"
#include "fovea/modules/error.h"
#include "fovea/vision/explain/faithfulness.h"
#include "fovea/vision/explain/methods.h"

namespace fovea {
namespace {

constexpr const char* kShuffledMap = "shuffled";  // the first method's map with its places in random order

// Sums over the things asked about.
struct ThingRow {
  std::string method;
  int64_t hits = 0;
  double chance = 0;
  double deletion = 0;
  double insertion = 0;
  double randomised = 0;  // agreement with the map of the same network with random weights
};

struct ThingTable {
  std::string data;
  std::vector<ThingRow> rows;
  int64_t pictures = 0;
  int64_t things = 0;  // asked about
};

at::Tensor map_of(ImageModel& model, const at::Tensor& x, const std::string& name, int64_t label) {
  ExplainOptions options{.method = name};
  const auto method = std::ranges::find(explain_methods(), name, &ExplainMethod::name);
  if (method->target) options.target = label;
  return explain(model, x, options).heat.values;
}

void ask(ThingTable& table, const PictureOfThings& picture, const Network& network, ImageModel& random) {
  const PreprocessOptions& size = network.info.preprocess;
  const Rectangle seen = crop_geometry(picture.image.width, picture.image.height, size).in_original();
  const auto x = preprocess(picture.image, size).unsqueeze(0).to(network.runtime.device, network.runtime.dtype);
  std::set<int64_t> labels;
  for (const Thing& thing : picture.things) labels.insert(thing.label);
  for (const int64_t label : labels) {
    at::Tensor wrong;
    for (ThingRow& row : table.rows) {
      at::Tensor heat = wrong;
      if (row.method != kShuffledMap) {
        heat = map_of(*network.model, x, row.method, label);
        row.randomised += agreement(heat, map_of(random, x, row.method, label));
        if (!wrong.defined()) wrong = heat.flatten().index_select(0, at::randperm(heat.numel())).view_as(heat);
      }
      const Pointed pointed = point_at(heat, seen, picture.things, label);
      row.hits += pointed.hit ? 1 : 0;
      row.chance += pointed.chance;
      const Faithfulness faithful =
          faithfulness(*network.model, x, heat, label, {.batch = 21, .multi_label = network.info.multi_label});
      row.deletion += faithful.deletion_area;
      row.insertion += faithful.insertion_area;
    }
    ++table.things;
  }
}

std::string as_text(const std::vector<ThingTable>& tables, const Network& network) {
  std::string text = network.info.name + "\n";
  for (const ThingTable& table : tables) {
    text +=
        fmt::format("\n{:<20} {:>9} {:>9} {:>9} {:>10} {:>11}   {}, {} things on {} pictures\n", "method", "pointing",
                    "chance", "deletion", "insertion", "randomised", table.data, table.things, table.pictures);
    const auto things = static_cast<double>(std::max<int64_t>(table.things, 1));
    for (const ThingRow& row : table.rows) {
      const std::string sanity =
          row.method == kShuffledMap ? std::string("") : fmt::format("{:.3f}", row.randomised / things);
      text += fmt::format("{:<20} {:>7.1f} % {:>7.1f} % {:>9.3f} {:>10.3f} {:>11}\n", row.method,
                          100 * static_cast<double>(row.hits) / things, 100 * row.chance / things,
                          row.deletion / things, row.insertion / things, sanity);
    }
  }
  return text +
         "pointing: how often the hottest place lies in a box of the thing asked about; deletion: small is faithful;\n"
         "insertion: large is; randomised: agreement with the map of random weights, near 0 where the map shows what "
         "was\nlearned\n";
}

nlohmann::ordered_json as_json(const std::vector<ThingTable>& tables, const Network& network) {
  nlohmann::ordered_json answer = {{"program", "fovea evaluate"}, {"model", network.info.name}};
  for (const ThingTable& table : tables) {
    nlohmann::ordered_json part = {{"data", table.data}, {"pictures", table.pictures}, {"things", table.things}};
    const auto things = static_cast<double>(std::max<int64_t>(table.things, 1));
    for (const ThingRow& row : table.rows) {
      nlohmann::ordered_json one = {{"method", row.method},
                                    {"pointing", static_cast<double>(row.hits) / things},
                                    {"chance", row.chance / things},
                                    {"deletion", row.deletion / things},
                                    {"insertion", row.insertion / things}};
      if (row.method != kShuffledMap) one["randomised"] = row.randomised / things;
      part["explain"].push_back(std::move(one));
    }
    answer["results"].push_back(std::move(part));
  }
  return answer;
}

}  // namespace

int explain_things(const ThingExplanation& options, const NetworkOptions& wanted, const CaptionDataOptions& data,
                   const CommonOptions& common) {
  const Network network = load_network(wanted, select_runtime(common));
  const auto kinds = std::ssize(scene_labels());
  require(network.info.num_classes == kinds, ErrorKind::data, "{}: {} classes, scenes have {} kinds of things",
          network.info.name, network.info.num_classes, kinds);
  at::manual_seed(static_cast<uint64_t>(options.seed));
  const auto world = open_world(data.files);
  const auto random_module = randomised_copy(*network.model, static_cast<uint64_t>(options.seed));
  auto& random = dynamic_cast<ImageModel&>(*random_module);
  std::vector<ThingTable> tables;
  for (const CaptionData& part : open_caption_data(data, /*draw=*/false)) {
    ThingTable& table = tables.emplace_back();
    table.data = part.name;
    for (const std::string& method : options.methods) table.rows.push_back({.method = method});
    table.rows.push_back({.method = kShuffledMap});
    const auto things = scene_things(world, {.split = *part.split, .count = part.count});
    const int64_t count = std::min(options.pictures, part.count);
    Progress progress("explain", count);
    while (table.pictures < count && stop_signal() == 0) {
      ask(table, things->get(table.pictures * part.count / count), network, random);
      progress.update(++table.pictures);
    }
    if (stop_signal() != 0) return exit_code_of(stop_signal());
  }
  print_output(options.json ? as_json(tables, network).dump(1) + "\n" : as_text(tables, network));
  return 0;
}

}  // namespace fovea
