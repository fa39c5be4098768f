// Training captioners: batches, and whole runs on small made pictures.
#include "fovea/captioning/training/train_captioner.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "fovea/captioning/models/caption.h"
#include "fovea/captioning/models/trained_captioner.h"
#include "fovea/captioning/training/caption_batches.h"
#include "fovea/captioning/training/vocabulary.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/datasets/idx_files.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/training/things.h"

namespace fovea {
namespace {

using test::SquareCaptions;
using test::squares_preprocessing;
using test::TemporaryFolder;

// A captioner of the small networks that fovea trained, with random weights.
struct Made {
  TrainedCaptioner description;
  LoadedCaptioner captioner;
  std::vector<std::string> words;
};

Made make(bool recurrent, uint64_t seed = 1) {
  Made made;
  made.words = vocabulary_of(SquareCaptions(64), 1);
  ModelInfo& encoder = made.description.encoder;
  encoder = model_info(recurrent ? "fovea_cbamresnet_fashion" : "fovea_vit_fashion");
  encoder.num_classes = 4;
  encoder.preprocess = squares_preprocessing();
  made.captioner.tokenizer = std::make_shared<const Tokenizer>(word_tokenizer(made.words));
  made.captioner.tokens = made.description.tokens = word_tokens;
  made.captioner.preprocess = encoder.preprocess;
  made.captioner.name = "fovea-captioner";
  const FeatureShape shape = feature_shape(encoder);
  const int64_t vocabulary = made.captioner.tokenizer->size();
  if (recurrent) {
    made.description.decoder = GridDecoderOptions{.vocabulary = vocabulary,
                                                  .word_dim = 16,
                                                  .state_dim = 32,
                                                  .attention_dim = 16,
                                                  .memory_dim = shape.dim,
                                                  .dropout = 0.1,
                                                  .deep_output = true,
                                                  .places = shape.places};
  } else {
    made.description.decoder = TextDecoderOptions{.vocabulary = vocabulary,
                                                  .positions = 16,
                                                  .dim = 32,
                                                  .depth = 2,
                                                  .heads = 2,
                                                  .hidden = 64,
                                                  .memory_dim = shape.dim,
                                                  .dropout = 0.1};
  }
  at::manual_seed(seed);
  made.captioner.model = make_captioner(made.description);
  return made;
}

CaptionTrainOptions options_for(const std::filesystem::path& output, int64_t epochs = 2) {
  return {.run = {.output = output,
                  .recipe = {.epochs = epochs,
                             .batch_size = 8,
                             .learning_rate = 2e-3,
                             .label_smoothing = 0,
                             .clip_norm = 1,
                             .average_decay = 0.9},
                  .seed = 5},
          .model = "small",
          .loss = {.doubly_stochastic = 0.1, .guided = 1, .labels = 0.3, .scheduled_sampling = 0.2}};
}

std::string contents(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class CaptionTraining : public ::testing::TestWithParam<bool> {
 protected:
  CaptionTraining() { at::set_num_threads(1); }
  TemporaryFolder folder_;
};

TEST(CaptionBatches, ShiftTheWordsAndGuideThoseThatMention) {
  const SquareCaptions data(16);
  const Tokenizer tokenizer = word_tokenizer(vocabulary_of(data, 1));
  CaptionBatches batches(data, tokenizer,
                         {.batch_size = 8,
                          .seed = 2,
                          .preprocess = squares_preprocessing(),
                          .grid = {.height = 4, .width = 4},
                          .tokens = word_tokens});
  const CaptionBatch batch = batches.get(0);
  EXPECT_EQ(batch.images.sizes(), (std::vector<int64_t>{8, 3, 16, 16}));
  std::set<std::string> begins;
  for (int64_t b = 0; b < 8; ++b) {
    std::vector<std::string> words;
    const int64_t n = batch.tokens.size(1);
    EXPECT_EQ(batch.tokens[b][0].item<int64_t>(), word_tokens.start);
    for (int64_t t = 0; t < n; ++t) {
      const auto target = batch.targets[b][t].item<int64_t>();
      const bool mentions = batch.guided[b][t].item<bool>();
      if (target < 0) {
        EXPECT_FALSE(mentions);
        continue;
      }
      if (t + 1 < n && target != word_tokens.end) {
        EXPECT_EQ(batch.tokens[b][t + 1].item<int64_t>(), target);
      }
      const std::string word = tokenizer.decode(std::vector{target});
      words.push_back(word);
      EXPECT_EQ(mentions, std::ranges::count(test::square_colours, word) > 0) << word;
      EXPECT_NEAR(batch.guide[b][t].sum().item<double>(), mentions ? 1 : 0, 1e-6);
    }
    EXPECT_EQ(words.back(), "");  // the end token is special
    // Places say the colour of the square that lies there.
    std::set<int64_t> said;
    for (int64_t p = 0; p < 16; ++p) {
      const auto which = batch.phrase_at[b][p].item<int64_t>(), label = batch.labels.places[b][p].item<int64_t>();
      ASSERT_EQ(which >= 0, label >= 0);
      if (which < 0) continue;
      EXPECT_EQ(tokenizer.decode(std::vector{batch.phrases[which][0].item<int64_t>()}),
                test::square_colours[static_cast<size_t>(label)]);
      said.insert(which);
    }
    EXPECT_FALSE(said.empty());
    begins.insert(words.front());
  }
  EXPECT_EQ(begins.size(), 2u);  // both wordings are shown
  EXPECT_EQ(batch.references.size(), 8u);
  EXPECT_EQ(batch.labels.present.sizes(), (std::vector<int64_t>{8, 4}));
}

// Of the words for colours, those whose map has its peak in a place that the square touches.
double pointing(const LoadedCaptioner& captioner, const SquareCaptions& data) {
  const c10::InferenceMode inference;
  double inside = 0, words = 0;
  for (int64_t i = 0; i < data.size(); ++i) {
    const CaptionedImage picture = data.get(i);
    const auto x = preprocess(picture.image, captioner.preprocess).unsqueeze(0);
    const auto captions = caption(captioner, x, {.maps = true});
    for (const CaptionWord& word : captions[0][0].words) {
      const auto colour = std::ranges::find(test::square_colours, word.text) - test::square_colours.begin();
      for (const Thing& thing : picture.things) {
        if (thing.label != colour) continue;
        const int64_t peak = word.heat.argmax().item<int64_t>(), side = word.heat.size(1), pixels = 16 / side;
        const int64_t x0 = peak % side * pixels, y0 = peak / side * pixels;
        const Region& box = thing.box;
        const bool touches =
            x0 + pixels > box.left && x0 < box.left + box.width && y0 + pixels > box.top && y0 < box.top + box.height;
        inside += touches ? 1 : 0;
        ++words;
      }
    }
  }
  return words == 0 ? 0 : inside / words;
}

TEST(PlaceWords, PlacesLearnToSayWhatLiesThere) {
  at::set_num_threads(1);
  const TemporaryFolder folder;
  const Made made = make(true);
  const SquareCaptions train(48);
  CaptionTrainOptions options = options_for(folder / "run", 12);
  options.loss = {.place_words = 1};
  train_captioner(made.captioner, {.train = train}, options);

  const c10::InferenceMode inference;
  Captioner& model = *made.captioner.model;
  CaptionBatches batches(
      train, *made.captioner.tokenizer,
      {.batch_size = 48, .preprocess = squares_preprocessing(), .grid = model.grid(16, 16), .tokens = word_tokens});
  const CaptionBatch batch = batches.get(0);
  const auto said = model.place_words(model.encode(batch.images)).argmax(2).flatten();  // [B·M]
  const auto which = batch.phrase_at.flatten();
  const auto covered = (which >= 0).nonzero().squeeze(1);
  const auto right = batch.phrases.select(1, 0).index_select(0, which.index_select(0, covered));
  EXPECT_GT(said.index_select(0, covered).eq(right).to(at::kDouble).mean().item<double>(), 0.8);  // by chance 0.1
}

TEST_P(CaptionTraining, LearnsToSayWhatIsThereAndToPointAtIt) {
  const Made made = make(GetParam());
  const SquareCaptions train(48);
  CaptionTrainOptions options = options_for(folder_ / "run", 40);
  options.loss = {.guided = 5, .labels = 0.3};
  options.run.recipe.learning_rate = 4e-3;
  const RunResult result = train_captioner(made.captioner, {.train = train, .test = &train}, options);
  ASSERT_EQ(result.figures.size(), 2u);
  EXPECT_GT(result.figures[0], 0.8);
  EXPECT_GT(result.figures[1], 5);
  EXPECT_EQ(evaluate_captions(made.captioner, train).right, result.figures[0]);
  EXPECT_GT(pointing(made.captioner, train), 0.7);  // by chance a fifth

  // As a folder: the same captions.
  write_captioner_config((folder_ / "run").string(), made.description);
  write_vocabulary(folder_ / "run" / "vocab.json", made.words);
  const LoadedCaptioner loaded = load_captioner((folder_ / "run").string());
  EXPECT_EQ(loaded.name, "fovea-captioner");
  EXPECT_EQ(loaded.preprocess.height, 16);
  const auto x = preprocess(train.get(3).image, loaded.preprocess).unsqueeze(0);
  const auto said = caption(loaded, x, {})[0][0], before = caption(made.captioner, x, {})[0][0];
  EXPECT_EQ(said.generated.tokens, before.generated.tokens);
  EXPECT_EQ(said.text, before.text);
  EXPECT_FALSE(said.text.empty());
  EXPECT_EQ(said.text.find("<"), std::string::npos);
}

TEST_P(CaptionTraining, ResumesToTheSameBytes) {
  const SquareCaptions train(20), test(8, 500);
  for (const bool rewarded : {false, true}) {
    const auto run = [&](const std::string& name, uint64_t seed, int64_t stop_after) {
      std::atomic<bool> stop{false};
      CaptionTrainOptions options = options_for(folder_ / name);
      if (rewarded) options.loss = {.self_critical = true};
      options.run.resume = true;
      options.run.stop = &stop;
      train_captioner(make(GetParam(), seed).captioner, {.train = train, .test = &test}, options,
                      {.on_step = [&](const StepReport& report) { stop = report.step == stop_after; }});
      return contents(folder_ / name / "model.safetensors");
    };
    const std::string name = rewarded ? "rewarded" : "forced";
    const std::string whole = run(name, 1, 0);
    ASSERT_FALSE(whole.empty());
    run(name + "2", 1, 4);
    EXPECT_EQ(run(name + "2", 99, 0), whole);
  }
}

TEST_P(CaptionTraining, EveryTermReachesTheEncoder) {
  const SquareCaptions train(16);
  for (const CaptionLossOptions& loss :
       {CaptionLossOptions{}, CaptionLossOptions{.guided = 1}, CaptionLossOptions{.labels = 1},
        CaptionLossOptions{.doubly_stochastic = 1}, CaptionLossOptions{.self_critical = true}}) {
    const Made made = make(GetParam());
    const auto before = encoder_of(*made.captioner.model).module().parameters().front().clone();
    CaptionTrainOptions options = options_for(folder_ / "run", 1);
    options.loss = loss;
    options.run.force = true;
    options.run.recipe.average_decay = 0;
    train_captioner(made.captioner, {.train = train}, options);
    EXPECT_FALSE(encoder_of(*made.captioner.model).module().parameters().front().equal(before));
  }
}

TEST_P(CaptionTraining, AFrozenEncoderStaysAsItIs) {
  const SquareCaptions train(16), test(8, 500);
  for (const CaptionLossOptions& loss : {CaptionLossOptions{.guided = 1}, CaptionLossOptions{.self_critical = true}}) {
    const Made made = make(GetParam());
    const auto copies = [&] {
      std::vector<at::Tensor> tensors;
      for (const NamedTensor& named : named_weights(made.captioner.model->module()))
        tensors.push_back(named.tensor.clone());
      return tensors;
    };
    const auto before = copies();
    CaptionTrainOptions options = options_for(folder_ / "run", 2);
    options.loss = loss;
    options.freeze_encoder = true;
    options.run.force = true;
    options.run.recipe.average_decay = 0;
    train_captioner(made.captioner, {.train = train, .test = &test}, options);
    const auto after = copies();
    const auto names = named_weights(made.captioner.model->module());
    int64_t changed = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i].name.starts_with("encoder.")) {
        EXPECT_TRUE(after[i].equal(before[i])) << names[i].name;
      } else {
        changed += after[i].equal(before[i]) ? 0 : 1;
      }
    }
    EXPECT_GT(changed, 0);
    for (const auto& parameter : made.captioner.model->module().parameters()) EXPECT_TRUE(parameter.requires_grad());
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, CaptionTraining, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "lstm" : "transformer"; });

// "a cat" for "a dog". Of two images that both have "a", that word is worth nothing; of four, two of which have it, its
// weight is log 2 and those of the animals log 4: the cosine of the words alone is 1/(1 + 4), a quarter of the score.
TEST(Rewards, TakeTheirWeightsFromAllSentences) {
  const ScoredCaption caption{.candidate = {"a", "cat"}, .references = {{"a", "dog"}}};
  CiderD cider;
  for (const char* animal : {"cat", "dog"}) cider.count_image(std::vector<Words>{{"a", animal}});
  EXPECT_EQ(cider.score(caption), 0);
  for (const char* word : {"trees", "night"}) cider.count_image(std::vector<Words>{{word}});
  EXPECT_NEAR(cider.score(caption), 10 * 0.2 / 4, 1e-12);
}

TEST(Rewards, ImproveWhatWasLearned) {
  const TemporaryFolder folder;
  const SquareCaptions train(48);
  const Made made = make(/*recurrent=*/true);
  CaptionTrainOptions options = options_for(folder / "forced", 10);
  options.run.recipe.learning_rate = 4e-3;
  const double before = train_captioner(made.captioner, {.train = train, .test = &train}, options).figures[1];
  options = options_for(folder / "rewarded", 30);
  options.loss = {.self_critical = true};
  options.run.recipe.learning_rate = 5e-4;
  const double after = train_captioner(made.captioner, {.train = train, .test = &train}, options).figures[1];
  fmt::print("CIDEr-D {:.3f}, with rewards {:.3f}\n", before, after);
  EXPECT_GT(after, 1.2 * before);
}

TEST(CaptionTrainingOptions, AreCheckedBeforeTheFirstStep) {
  const TemporaryFolder folder;
  const Made made = make(false);
  const SquareCaptions known(16);
  class Unknown : public SquareCaptions {
   public:
    using SquareCaptions::SquareCaptions;
    int64_t classes() const override { return 0; }
  };
  const Unknown unknown(16);
  const auto refused = [&](const CaptionLossOptions& loss, const CaptionDataset& data, const std::string& text) {
    CaptionTrainOptions options = options_for(folder / "run");
    options.loss = loss;
    EXPECT_ERROR(train_captioner(made.captioner, {.train = data}, options), ErrorKind::usage, text);
  };
  refused({.guided = -1}, known, "must not be negative");
  refused({.scheduled_sampling = 1.5}, known, "1.5 is not in [0,1]");
  refused({.guided = 1}, unknown, "does not know where things are");
  refused({.labels = 1}, unknown, "does not know where things are");
  refused({.place_words = 1}, unknown, "does not know where things are");
  refused({.place_words = -1}, known, "must not be negative");
  refused({.labels = 1, .self_critical = true}, known, "takes no other terms");
  CaptionTrainOptions frozen = options_for(folder / "run");
  frozen.loss.labels = 1;
  frozen.freeze_encoder = true;
  EXPECT_ERROR(train_captioner(made.captioner, {.train = known}, frozen), ErrorKind::usage, "is frozen");
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(TrainedCaptioner, DamagedFoldersAreNamed) {
  const TemporaryFolder folder;
  const Made made = make(true);
  const std::string path = folder.path().string();
  write_captioner_config(path, made.description);
  write_vocabulary(folder / "vocab.json", made.words);
  save_weights(made.captioner.model->module(), folder / "model.safetensors");
  EXPECT_NO_THROW(load_captioner(path));
  const std::string config = contents(folder / "config.json");
  const auto damaged = [&](const std::string& from, const std::string& to, const std::string& text) {
    std::string changed = config;
    changed.replace(changed.find(from), from.size(), to);
    test::write(folder / "config.json", changed);
    EXPECT_ERROR(load_captioner(path), ErrorKind::data, text);
  };
  damaged("\"lstm\"", "\"gru\"", "decoder: \"gru\" is not supported");
  damaged("\"state_dim\": 32", "\"state_dim\": 0", "state_dim: expected 1 to 65536, got 0");
  damaged("\"state_dim\": 32,", "", "state_dim is missing");
  damaged("\"eos_token_id\": 2", "\"eos_token_id\": -2", "eos_token_id: expected 0 to 9999999, got -2");
  damaged("\"state_dim\": 32", "\"state_dim\": 33", "another shape");
}

}  // namespace
}  // namespace fovea
