// Classifiers of several things: their targets, their loss, and the run on a small made dataset.
#include "fovea/vision/training/multi_label.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "fovea/tests/datasets/idx_files.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/training/things.h"
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/vit.h"
#include "fovea/vision/training/label_loss.h"
#include "fovea/vision/training/places.h"

namespace fovea {
namespace {

using test::Squares;
using test::squares_preprocessing;
using test::TemporaryFolder;

std::shared_ptr<ImageModel> make_resnet(uint64_t seed = 1) {
  at::manual_seed(seed);
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = ResNetBlock::basic,
                                                    .depths = {1, 1},
                                                    .widths = {16, 32},
                                                    .slot = "cbam",
                                                    .reduction = 4,
                                                    .stem = ResNetStem::plain,
                                                    .stem_width = 8,
                                                    .num_classes = 4});
}

std::shared_ptr<ImageModel> make_vit(uint64_t seed = 1) {
  at::manual_seed(seed);
  return std::make_shared<VitImpl>(
      VitOptions{.image_size = 16, .patch = 4, .dim = 16, .depth = 2, .heads = 2, .num_classes = 4, .proj_drop = 0.1});
}

MultiLabelOptions options_for(const std::filesystem::path& output) {
  return {.run = {.output = output,
                  .recipe = {.epochs = 3, .batch_size = 8, .learning_rate = 3e-3, .clip_norm = 1, .average_decay = 0.9},
                  .seed = 5},
          .model = "small",
          .preprocess = squares_preprocessing()};
}

std::string contents(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Places, AreThoseWhoseCentreLiesInTheEllipse) {
  // 8 × 4 places of 10 pixels.
  const Rectangle seen = {.left = 0, .top = 0, .width = 80, .height = 40};
  const std::vector<Thing> things = {{.label = 2, .box = {10, 0, 40, 40}}, {.label = 3, .box = {61, 21, 3, 4}}};
  const auto covered = covered_places(things, seen, {.height = 4, .width = 8});
  std::string drawn;
  for (int64_t thing = 0; thing < 2; ++thing) {
    for (int64_t i = 0; i < 32; ++i) drawn += covered[thing][i].item<bool>() ? '#' : '.';
  }
  EXPECT_EQ(drawn,
            "..##...."
            ".####..."
            ".####..."
            "..##...."
            // Smaller than a place, and no centre in it.
            "........"
            "........"
            "......#."
            "........");
  const auto labels = place_labels(things, seen, {.height = 4, .width = 8});
  EXPECT_EQ(labels[8 + 1].item<int64_t>(), 2);
  EXPECT_EQ(labels[16 + 6].item<int64_t>(), 3);
  EXPECT_EQ(labels[0].item<int64_t>(), -100);
}

TEST(Places, FollowTheCropAndTheForemostThing) {
  // The network sees the right half.
  const Rectangle seen = {.left = 40, .top = 0, .width = 40, .height = 40};
  const std::vector<Thing> things = {{.label = 0, .box = {0, 0, 80, 40}}, {.label = 1, .box = {60, 0, 20, 20}}};
  const auto labels = place_labels(things, seen, {.height = 2, .width = 2});
  EXPECT_EQ(labels[0].item<int64_t>(), 0);
  EXPECT_EQ(labels[1].item<int64_t>(), 1);
}

// The formula in plain numbers.
double by_loops(const at::Tensor& logits, const at::Tensor& present, const at::Tensor& named, const at::Tensor& labels,
                double share) {
  double picture = 0, places = 0;
  int64_t count = 0;
  for (int64_t b = 0; b < logits.size(0); ++b) {
    for (int64_t k = 0; k < logits.size(1); ++k) {
      const auto z = logits[b][k].item<double>();
      const double p = 1 / (1 + std::exp(-z));
      picture -= present[b][k].item<double>() > 0 ? std::log(p) : std::log(1 - p);
    }
    for (int64_t m = 0; m < labels.size(1); ++m) {
      const auto label = labels[b][m].item<int64_t>();
      if (label < 0) continue;
      double sum = 0;
      for (int64_t k = 0; k < logits.size(1); ++k) sum += std::exp(named[b][m][k].item<double>());
      places -= named[b][m][label].item<double>() - std::log(sum);
      ++count;
    }
  }
  return picture / static_cast<double>(logits.size(0)) + (count > 0 ? share * places / static_cast<double>(count) : 0);
}

TEST(LabelLoss, EqualsItsFormula) {
  for (const auto& model : {make_resnet(), make_vit()}) {
    model->module().eval();
    at::manual_seed(3);
    const auto features = model->forward_features(at::randn({2, 3, 16, 16}));
    const int64_t places = model->grid(16, 16).height * model->grid(16, 16).width;
    LabelTargets targets = {.present = at::zeros({2, 4}), .places = at::full({2, places}, -100, at::kLong)};
    targets.present[0][1] = targets.present[0][2] = targets.present[1][3] = 1;
    targets.places[0][3] = 1;
    targets.places[0][4] = 2;
    targets.places[1][0] = 3;
    const auto tokens =
        features.dim() == 4 ? features.flatten(2).transpose(1, 2) : features.slice(1, features.size(1) - places);
    const auto named = model->classify(tokens);
    for (const double share : {0.0, 0.7}) {
      const double expected = by_loops(model->logits(features), targets.present, named, targets.places, share);
      EXPECT_NEAR(label_loss(*model, features, targets, share).item<double>(), expected, 1e-5 * expected);
    }
    targets.places.fill_(-100);  // nothing to name
    EXPECT_NEAR(label_loss(*model, features, targets, 1).item<double>(),
                by_loops(model->logits(features), targets.present, named, targets.places, 1), 1e-4);
    EXPECT_ERROR(label_loss(*model, features, {at::zeros({2, 5}), targets.places}, 0), ErrorKind::data,
                 "the model answers [2,4], the data is [2,5]");
    EXPECT_ERROR(label_loss(*model, features, {targets.present, at::zeros({2, 70}, at::kLong)}, 1), ErrorKind::data,
                 "places, the data 70");
  }
}

TEST(MultiLabelTraining, LearnsWhatIsThere) {
  const TemporaryFolder folder;
  const Squares train(64), test(48, 1000);
  const auto model = make_resnet();
  MultiLabelOptions options = options_for(folder / "run");
  options.run.recipe.epochs = 10;
  const double before = evaluate_labels(*model, test, options.preprocess);
  const RunResult result = train_multi_label(*model, {.train = train, .test = &test}, options);
  ASSERT_EQ(result.figures.size(), 1u);
  EXPECT_LT(before, 0.7);
  EXPECT_GT(result.figures[0], 0.95);
  EXPECT_EQ(result.figures[0], evaluate_labels(*model, test, options.preprocess));
  EXPECT_EQ(contents(folder / "run/log.csv").substr(0, 31), "epoch,step,train_loss,test_map\n");
}

TEST(MultiLabelTraining, ResumesToTheSameBytes) {
  const TemporaryFolder folder;
  for (const bool endless : {false, true}) {
    const Squares train(20, 0, endless);
    const auto run = [&](const std::string& name, uint64_t seed, int64_t stop_after) {
      std::atomic<bool> stop{false};
      MultiLabelOptions options = options_for(folder / name);
      options.run.resume = true;
      options.run.stop = &stop;
      train_multi_label(*make_vit(seed), {.train = train}, options,
                        {.on_step = [&](const StepReport& report) { stop = report.step == stop_after; }});
      return contents(folder / name / "model.safetensors");
    };
    const std::string name = endless ? "endless" : "fixed";
    const std::string whole = run(name, 1, 0);
    run(name + "2", 1, 4);
    EXPECT_EQ(run(name + "2", 99, 0), whole);
  }
}

TEST(MultiLabelTraining, RefusesWhatCannotWork) {
  const TemporaryFolder folder;
  const Squares train(20);
  MultiLabelOptions options = options_for(folder / "run");
  options.place_share = -1;
  EXPECT_ERROR(train_multi_label(*make_vit(), {.train = train}, options), ErrorKind::usage, "is negative");
  options.place_share = 1;
  options.run.recipe.batch_size = 1;
  EXPECT_ERROR(train_multi_label(*make_vit(), {.train = train}, options), ErrorKind::usage, "a single one");
  EXPECT_ERROR(label_targets({{.label = 4, .box = {}}}, 4, {.height = 1, .width = 1}, {0, 0, 1, 1}), ErrorKind::data,
               "label 4 is not below 4 classes");
}

}  // namespace
}  // namespace fovea
