// A shortcut that is planted: in training a small sign stands on every picture of one class, the network answers by the
// sign alone, and a faithful explanation has to point at it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>

#include "fovea/datasets/scenes/world.h"
#include "fovea/tests/claims/figure.h"
#include "fovea/vision/explain/faithfulness.h"
#include "fovea/vision/explain/methods.h"
#include "fovea/vision/models/registry.h"

namespace fovea::testing {
namespace {

constexpr int64_t kPictureSide = 28, kSignSide = 6;  // pixels
constexpr int64_t kTraining = 1000, kTested = 150;   // scenes
constexpr int64_t kExplained = 60, kScored = 10;     // of those with a sign

struct Pictures {
  at::Tensor pixels;   // [n,3,28,28], 0…1
  at::Tensor classes;  // [n] int64: 1 where there are things of two kinds
};

Pictures draw_scenes(scenes::Split split, int64_t count) {
  static const scenes::World world({.font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
                                    .photographs = FOVEA_PHOTOGRAPHS,
                                    .clothes = "/usr/share/datasets/fashion-mnist"});
  std::vector<at::Tensor> pixels;
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < count; ++i) {
    scenes::Scene scene = world.draw(split, static_cast<uint64_t>(i), kPictureSide);
    pixels.push_back(at::from_blob(scene.image.pixels.data(), {kPictureSide, kPictureSide, 3}, at::kByte)
                         .permute({2, 0, 1})
                         .to(at::kFloat) /
                     255);
    classes.push_back(scene.plan.groups.size() > 1 ? 1 : 0);
  }
  return {at::stack(pixels), at::tensor(classes)};
}

// A ring with a dot, light on dark, at (x,y) of picture [3,28,28].
void stamp(const at::Tensor& picture, int64_t x, int64_t y) {
  static const at::Tensor sign = at::tensor({0, 1, 1, 1, 1, 0,  //
                                             1, 0, 0, 0, 0, 1,  //
                                             1, 0, 1, 1, 0, 1,  //
                                             1, 0, 1, 1, 0, 1,  //
                                             1, 0, 0, 0, 0, 1,  //
                                             0, 1, 1, 1, 1, 0},
                                            at::kFloat)
                                     .view({kSignSide, kSignSide});
  auto place = picture.narrow(1, y, kSignSide).narrow(2, x, kSignSide);
  place.copy_(0.2 * place + 0.8 * sign);
}

struct Place {
  int64_t x = 0;
  int64_t y = 0;
};

// In steps of four pixels, those of ViT's patches: with any seed each network learns it.
Place anywhere() {
  const auto drawn = 4 * at::randint((kPictureSide - kSignSide) / 4 + 1, {2}, at::kLong);
  return {drawn[0].item<int64_t>(), drawn[1].item<int64_t>()};
}

at::Tensor normalised(const at::Tensor& pixels, const PreprocessOptions& options) {
  const auto channels = [](const std::array<double, 3>& values) {
    return at::tensor({values[0], values[1], values[2]}, at::kFloat).view({3, 1, 1});
  };
  return (pixels - channels(options.mean)) / channels(options.std);
}

// Learns from pictures whose sign, at another place each time, gives the class away.
void train(const NamedModel& network, const Pictures& pictures, int64_t steps) {
  constexpr int64_t batch = 48, warm_up = 20;
  constexpr double rate = 2e-3;
  auto& module = network.model->module();
  module.train();
  torch::optim::AdamW optimizer(module.parameters(), torch::optim::AdamWOptions(rate).weight_decay(0.02));
  for (int64_t step = 0; step < steps; ++step) {
    const double share = static_cast<double>(step) / static_cast<double>(steps);
    const double now =
        step < warm_up ? static_cast<double>(step + 1) / warm_up : (1 + std::cos(share * std::numbers::pi)) / 2;
    for (auto& group : optimizer.param_groups()) {
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate * now);
    }
    const auto chosen = at::randint(pictures.pixels.size(0), {batch}, at::kLong);
    const auto x = pictures.pixels.index_select(0, chosen);
    const auto classes = pictures.classes.index_select(0, chosen);
    for (int64_t i = 0; i < batch; ++i) {
      const Place place = anywhere();
      if (classes[i].item<int64_t>() == 1) stamp(x[i], place.x, place.y);
    }
    optimizer.zero_grad();
    at::cross_entropy_loss(network.model->forward(normalised(x, network.info.preprocess)), classes).backward();
    optimizer.step();
  }
  module.eval();
}

// The part of the answers that follow the sign where it stands on the wrong class alone.
double follows_the_sign(const NamedModel& network, const Pictures& pictures) {
  const at::NoGradGuard no_grad;
  const auto x = pictures.pixels.clone();
  const auto stamped = pictures.classes.eq(0);
  for (int64_t i = 0; i < x.size(0); ++i) {
    const Place place = anywhere();
    if (stamped[i].item<bool>()) stamp(x[i], place.x, place.y);
  }
  const auto answers = network.model->forward(normalised(x, network.info.preprocess)).argmax(1);
  return answers.eq(stamped.to(at::kLong)).to(at::kDouble).mean().item<double>();
}

// Whether the hottest cell lies, at least in part, on the sign.
bool ranks_first(const at::Tensor& heat, const Place& place) {
  const double cell_x = 0.5 / static_cast<double>(heat.size(1)), cell_y = 0.5 / static_cast<double>(heat.size(0));
  const auto share = [](int64_t pixel) { return static_cast<double>(pixel) / static_cast<double>(kPictureSide); };
  return points_into(heat, {.left = share(place.x) - cell_x,
                            .top = share(place.y) - cell_y,
                            .right = share(place.x + kSignSide) + cell_x,
                            .bottom = share(place.y + kSignSide) + cell_y});
}

// Means over pictures.
struct Trust {
  std::string method;
  double first = 0;     // how often the sign is ranked first
  double deletion = 0;  // areas
  double insertion = 0;
  double randomised = 0;  // agreement with the map of random weights

  double faithful() const { return insertion - deletion; }
};

constexpr const char* kShuffled = "shuffled";

struct Subject {
  const char* model;
  const char* best;  // method
  int64_t steps;
};

// Of each method, and last of the best one's maps with their places in random order.
std::vector<Trust> judge(const NamedModel& network, const Subject& subject, const Pictures& pictures) {
  const auto random_module = network.model->module().clone();
  randomise_last_layers(*random_module, std::numeric_limits<int64_t>::max(), 5);
  random_module->eval();
  auto& random_model = dynamic_cast<ImageModel&>(*random_module);
  const auto methods = methods_for(*network.model, kPictureSide, kPictureSide);
  std::vector<Trust> table;
  for (const ExplainMethod& method : methods) table.push_back({.method = method.name});
  table.push_back({.method = kShuffled});
  for (int64_t i = 0; i < kExplained; ++i) {
    const Place place = anywhere();
    const auto pixels = pictures.pixels[i].clone();
    stamp(pixels, place.x, place.y);
    const auto x = normalised(pixels, network.info.preprocess).unsqueeze(0);
    const bool scored = i < kScored;
    std::vector<HeatMap> heats = explain_all(*network.model, x, methods, 1).heats;
    std::vector<HeatMap> unlearned;
    if (scored) unlearned = explain_all(random_model, x, methods, 1).heats;
    const auto best = std::ranges::find(methods, subject.best, &ExplainMethod::name) - methods.begin();
    const auto right = heats[static_cast<size_t>(best)].values;
    heats.push_back({.values = right.flatten().index_select(0, at::randperm(right.numel())).view_as(right)});
    for (size_t m = 0; m < heats.size(); ++m) {
      table[m].first += ranks_first(heats[m].values, place) ? 1.0 / kExplained : 0;
      if (!scored) continue;
      const Faithfulness score = faithfulness(*network.model, x, heats[m].values, 1, {.batch = 21});
      table[m].deletion += score.deletion_area / kScored;
      table[m].insertion += score.insertion_area / kScored;
      if (m < unlearned.size()) table[m].randomised += agreement(heats[m].values, unlearned[m].values) / kScored;
    }
  }
  return table;
}

class Watermark : public ::testing::TestWithParam<Subject> {};

TEST_P(Watermark, IsRankedFirstByTheBestMethod) {
  const Subject subject = GetParam();
  const NamedModel network = create_model(subject.model, {.num_classes = 2});
  static const Pictures training = draw_scenes(scenes::Split::train, kTraining);
  static const Pictures testing = draw_scenes(scenes::Split::test, kTested);
  train(network, training, subject.steps);
  const double followed = follows_the_sign(network, testing);
  figure("{}: {:.1f} % of the answers follow a sign on the wrong class", subject.model, 100 * followed);
  EXPECT_GE(followed, 0.98);

  const std::vector<Trust> table = judge(network, subject, testing);
  for (const Trust& row : table) {
    figure("{:<26} {:<20} sign first {:>3.0f} %, deletion {:.3f}, insertion {:.3f}, randomised {:.2f}", subject.model,
           row.method, 100 * row.first, row.deletion, row.insertion, row.randomised);
  }
  const Trust& shuffled = table.back();
  const Trust& best = *std::ranges::find(table, subject.best, &Trust::method);
  EXPECT_GE(best.first, 0.95);
  EXPECT_LE(shuffled.first, 0.5);
  EXPECT_GE(best.faithful(), shuffled.faithful() + 0.1);
  EXPECT_LE(std::abs(best.randomised), 0.5);  // a map that does not look at the weights has 1
}

std::vector<Subject> subjects() {
  std::vector<Subject> chosen = {{"fovea_seresnet_fashion", "gradcam", 80}, {"fovea_vit_fashion", "relevance", 240}};
  if (std::getenv("FOVEA_FULL") != nullptr) {
    chosen.push_back({"fovea_cbamresnet_fashion", "gradcam", 80});
    chosen.push_back({"fovea_swin_fashion", "occlusion", 400});
  }
  return chosen;
}

INSTANTIATE_TEST_SUITE_P(Networks, Watermark, ::testing::ValuesIn(subjects()),
                         [](const auto& one) { return std::string(one.param.model); });

}  // namespace
}  // namespace fovea::testing
