// The training loop on a small made dataset: it learns, it resumes exactly, it refuses what cannot work.
#include "fovea/vision/training/trainer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "fovea/modules/error.h"
#include "fovea/tests/datasets/idx_files.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/training/patterns.h"
#include "fovea/vision/models/resnet.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using test::Patterns;
using test::patterns_preprocessing;
using test::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<ImageModel> small_resnet(uint64_t seed = 1) {
  at::manual_seed(seed);
  return std::make_shared<ResNetImpl>(ResNetOptions{.block = ResNetBlock::basic,
                                                    .depths = {1, 1},
                                                    .widths = {8, 16},
                                                    .slot = "se",
                                                    .reduction = 4,
                                                    .stem = ResNetStem::plain,
                                                    .stem_width = 8,
                                                    .num_classes = 4});
}

// With dropout, which draws from torch's own generator.
std::shared_ptr<ImageModel> small_vit(uint64_t seed = 1) {
  at::manual_seed(seed);
  return std::make_shared<VitImpl>(VitOptions{.image_size = 12,
                                              .patch = 4,
                                              .dim = 16,
                                              .depth = 2,
                                              .heads = 2,
                                              .num_classes = 4,
                                              .proj_drop = 0.1,
                                              .drop_path = 0.2});
}

Recipe small_recipe(OptimizerKind kind = OptimizerKind::adamw) {
  return {.epochs = 3,
          .batch_size = 8,
          .learning_rate = kind == OptimizerKind::sgd ? 0.05 : 3e-3,
          .clip_norm = 1,
          .average_decay = 0.9,
          .optimizer = {.kind = kind, .weight_decay = 1e-3},
          .augment = {.flip = false, .shift = 1, .erase = 0.2}};
}

TrainOptions options_for(const fs::path& output, const Recipe& recipe = small_recipe()) {
  return {
      .run = {.output = output, .recipe = recipe, .seed = 5}, .model = "small", .preprocess = patterns_preprocessing()};
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void expect_refused(ErrorKind kind, const std::string& text, const std::function<void()>& run) {
  try {
    run();
    ADD_FAILURE() << "accepted, expected: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

class Trainer : public ::testing::Test {
 protected:
  Trainer() { at::set_num_threads(1); }
  // Trains until `stop_after` steps are done (0: to the end).
  TrainResult train(ImageModel& model, TrainOptions options, int64_t stop_after = 0) {
    std::atomic<bool> stop{false};
    options.run.stop = &stop;
    return train_classifier(model, {.train = data_, .test = &test_}, options,
                            {.on_step = [&](const StepReport& report) { stop = report.step == stop_after; }});
  }
  TemporaryFolder folder_;
  const Patterns data_{42};
  const Patterns test_{20};
};

TEST_F(Trainer, LearnsSixtyFourPicturesByHeart) {
  const Patterns data(64);
  for (const auto& model : {small_resnet(), small_vit()}) {
    Recipe recipe = small_recipe();
    recipe.epochs = 40;
    recipe.augment = {};
    std::vector<double> losses;
    TrainOptions options = options_for(folder_ / "heart", recipe);
    options.run.force = true;
    train_classifier(*model, {.train = data}, options,
                     {.on_epoch = [&](const EpochReport& report) { losses.push_back(report.train_loss); }});
    EXPECT_EQ(losses.size(), 40u);
    EXPECT_LT(losses.back(), 0.6 * losses.front());
    EXPECT_EQ(evaluate(*model, data, patterns_preprocessing()).correct, 64);
  }
}

TEST_F(Trainer, ResumesToTheSameBytes) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    for (const auto make : {small_resnet, small_vit}) {
      const TemporaryFolder folder;
      const auto whole = make(1);
      EXPECT_FALSE(train(*whole, options_for(folder / "whole", small_recipe(kind))).interrupted);
      const std::string expected = bytes_of(folder / "whole/model.safetensors");
      ASSERT_FALSE(expected.empty());
      // Six steps an epoch: within an epoch, at its end, at the last step.
      for (const int64_t stop : {1, 4, 6, 13, 17}) {
        TrainOptions options = options_for(folder / fmt::format("stop{}", stop), small_recipe(kind));
        options.run.resume = true;  // an empty folder starts fresh
        const TrainResult first = train(*make(1), options, stop);
        EXPECT_TRUE(first.interrupted);
        EXPECT_EQ(first.steps, stop);
        const TrainResult second = train(*make(99), options);  // another start, which the state replaces
        EXPECT_EQ(second.steps, 18);
        EXPECT_EQ(bytes_of(options.run.output / "model.safetensors"), expected) << "stopped at step " << stop;
        EXPECT_EQ(bytes_of(options.run.output / "log.csv"), bytes_of(folder / "whole/log.csv"));
      }
    }
  }
}

TEST_F(Trainer, TheSeedDecides) {
  TrainOptions options = options_for(folder_ / "a");
  train(*small_vit(), options);
  options.run.output = folder_ / "b";
  options.run.seed = 6;
  train(*small_vit(), options);
  EXPECT_NE(bytes_of(folder_ / "a/model.safetensors"), bytes_of(folder_ / "b/model.safetensors"));
}

// With dropout and drop path, which the second run of each block draws again.
TEST_F(Trainer, RecomputingBlocksTrainsTheSameBytes) {
  std::vector<int64_t> allocated;
  for (const char* name : {"a", "b"}) {
    TrainOptions options = options_for(folder_ / name);
    options.run.recompute = *name == 'b';
    const auto model = small_vit();
    const testing::AllocatedBytes counted;
    train(*model, options);
    allocated.push_back(counted.total());
  }
  EXPECT_EQ(bytes_of(folder_ / "a/model.safetensors"), bytes_of(folder_ / "b/model.safetensors"));
  EXPECT_GT(allocated[1], allocated[0] * 6 / 5);  // every block ran twice
}

TEST_F(Trainer, AFinishedRunIsLeftAsItIs) {
  TrainOptions options = options_for(folder_ / "run");
  const TrainResult first = train(*small_vit(), options);
  const std::string bytes = bytes_of(options.run.output / "model.safetensors");
  options.run.resume = true;
  const auto again = small_vit(9);
  const TrainResult second = train(*again, options);
  EXPECT_EQ(second.steps, first.steps);
  EXPECT_EQ(second.test->correct, first.test->correct);
  EXPECT_EQ(bytes_of(options.run.output / "model.safetensors"), bytes);
}

TEST_F(Trainer, LeavesTheAveragedWeightsThatItWrote) {
  const TrainOptions options = options_for(folder_ / "run");
  const auto model = small_resnet();
  const TrainResult result = train(*model, options);
  EXPECT_FALSE(model->module().is_training());
  EXPECT_EQ(evaluate(*model, test_, options.preprocess).correct, result.test->correct);
  const StateDict written = load_state_dict(options.run.output / "model.safetensors");
  for (const auto& parameter : model->module().named_parameters()) {
    ASSERT_NE(written.find(parameter.key()), nullptr) << parameter.key();
    EXPECT_TRUE(written.find(parameter.key())->equal(parameter.value())) << parameter.key();
  }
  EXPECT_EQ(written.find("num_batches_tracked"), nullptr);
  EXPECT_EQ(bytes_of(options.run.output / "log.csv").substr(0, 48),
            "epoch,step,train_loss,test_correct,test_total\n1,");
}

TEST_F(Trainer, RefusesToResumeAnotherRun) {
  TrainOptions options = options_for(folder_ / "run");
  train(*small_vit(), options, 4);
  options.run.resume = true;
  options.run.seed = 6;
  expect_refused(ErrorKind::usage, "the run there has seed 5, not 6", [&] { train(*small_vit(), options); });
  options.run.seed = 5;
  options.model = "other";
  expect_refused(ErrorKind::usage, "the run there has model small, not other", [&] { train(*small_vit(), options); });
  options.model = "small";
  expect_refused(ErrorKind::data, "does not fit the model", [&] { train(*small_resnet(), options); });
}

TEST_F(Trainer, ReplacesARunOnlyByForce) {
  TrainOptions options = options_for(folder_ / "run");
  train(*small_vit(), options);
  expect_refused(ErrorKind::usage, "--resume goes on with it, --force replaces it",
                 [&] { train(*small_vit(), options); });
  options.run.force = true;
  options.run.seed = 6;
  EXPECT_EQ(train(*small_vit(), options, 2).steps, 2);
  options.run.resume = true;
  EXPECT_EQ(train(*small_vit(), options).steps, 18);  // that of the new run
}

TEST_F(Trainer, GoesOnFromTheOlderStateWhereTheNewestIsDamaged) {
  TrainOptions options = options_for(folder_ / "run");
  train(*small_vit(), options);
  const std::string expected = bytes_of(options.run.output / "model.safetensors");
  for (const char* slot : {"state.0.safetensors", "state.1.safetensors"}) {
    std::string damaged = bytes_of(options.run.output / slot);
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    const std::string whole = bytes_of(options.run.output / slot);
    test::write(options.run.output / slot, damaged);
    options.run.resume = true;
    EXPECT_EQ(train(*small_vit(3), options).steps, 18);
    EXPECT_EQ(bytes_of(options.run.output / "model.safetensors"), expected);
    test::write(options.run.output / slot, whole);
  }
}

TEST_F(Trainer, NamesTheStepThatIsNoNumberAndKeepsTheLastGoodState) {
  TrainOptions options = options_for(folder_ / "run");
  options.run.save_every = 2;
  const auto model = small_vit();
  std::atomic<bool> stop{false};
  options.run.stop = &stop;
  const auto poison = [&](const StepReport& report) {
    if (report.step != 7) return;
    const at::NoGradGuard no_grad;
    model->module().parameters().back().fill_(std::numeric_limits<double>::quiet_NaN());
  };
  expect_refused(ErrorKind::numeric, "train: loss is nan at step 8 (epoch 2); saved state: step 6",
                 [&] { train_classifier(*model, {.train = data_, .test = &test_}, options, {.on_step = poison}); });
  const StateDict kept = load_state_dict(options.run.output / "model.safetensors");
  for (const auto& [name, tensor] : kept) EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
  options.run.resume = true;
  EXPECT_EQ(train(*small_vit(), options).steps, 18);
}

TEST_F(Trainer, LearnsFromATeacherWhereLabelsSayNothing) {
  const auto teacher = small_resnet();
  Recipe recipe = small_recipe();
  recipe.epochs = 40;
  recipe.augment = {};
  train(*teacher, options_for(folder_ / "teacher", recipe));
  ASSERT_EQ(evaluate(*teacher, data_, patterns_preprocessing()).correct, data_.size());

  class Mislabelled : public Patterns {
   public:
    using Patterns::Patterns;
    Example get(int64_t index) const override {
      Example example = Patterns::get(index);
      example.label = 0;
      return example;
    }
  };
  const Mislabelled lies(data_.size());
  recipe.teacher_share = 1;
  TrainOptions options = options_for(folder_ / "pupil", recipe);
  options.teacher = teacher.get();
  options.teacher_name = "teacher";
  const auto pupil = small_vit();
  train_classifier(*pupil, {.train = lies}, options);
  EXPECT_EQ(evaluate(*pupil, data_, patterns_preprocessing()).correct, data_.size());
  options.run.resume = true;
  options.teacher = nullptr;
  expect_refused(ErrorKind::usage, "the run there has teacher teacher 1, not none",
                 [&] { train_classifier(*pupil, {.train = lies}, options); });
}

TEST_F(Trainer, RefusesWhatCannotWorkBeforeTheFirstStep) {
  const auto refused = [&](ErrorKind kind, const std::string& text, const Recipe& recipe) {
    expect_refused(kind, text, [&] { train(*small_vit(), options_for(folder_ / "run", recipe)); });
  };
  Recipe recipe = small_recipe();
  recipe.batch_size = 43;
  refused(ErrorKind::usage, "batch size 43 is not in 1 … 42", recipe);
  recipe.batch_size = 0;
  refused(ErrorKind::usage, "batch size 0 is not in 1 … 42", recipe);
  recipe.batch_size = 1;
  refused(ErrorKind::usage, "batches of a single one", recipe);
  recipe = small_recipe();
  recipe.epochs = 0;
  refused(ErrorKind::usage, "epochs 0 is not positive", recipe);
  for (const double rate :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    recipe = small_recipe();
    recipe.learning_rate = rate;
    refused(ErrorKind::usage, "is not positive", recipe);
  }
  expect_refused(ErrorKind::io, "No such file or directory",
                 [&] { train(*small_vit(), options_for("/nowhere/at/all")); });
  const Patterns more_classes(42, 12, 3);
  expect_refused(ErrorKind::data, "the model has 4 classes, the data 3",
                 [&] { train_classifier(*small_vit(), {.train = more_classes}, options_for(folder_ / "classes")); });
}

TEST_F(Trainer, APartialBatchOfOnePictureDoesNotHappen) {
  const Patterns data(9);
  TrainOptions options = options_for(folder_ / "run");
  options.run.recipe.batch_size = 8;  // nine pictures: 4 and 5
  EXPECT_EQ(train_classifier(*small_resnet(), {.train = data}, options).steps, 6);
}

}  // namespace
}  // namespace fovea
