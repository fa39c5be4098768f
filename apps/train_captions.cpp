// fovea train --caption: a captioner.
#include <ATen/Context.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "fovea/apps/arguments.h"
#include "fovea/apps/caption_data.h"
#include "fovea/apps/output.h"
#include "fovea/apps/signals.h"
#include "fovea/apps/train.h"
#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/captioning/models/trained_captioner.h"
#include "fovea/captioning/training/vocabulary.h"
#include "fovea/datasets/scenes/data.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/load_weights.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct CaptionSources {
  std::shared_ptr<const CaptionDataset> train, test;  // test may be null
  std::shared_ptr<const CaptionDataset> words;        // where the vocabulary comes from
  std::vector<std::string> labels;                    // of the things; empty where none are known
};

// The sentences of a set of pictures alone: scenes need not be drawn for them.
CaptionSources open_sources(const TrainArguments& arguments, const PreprocessOptions& how) {
  CaptionSources sources;
  if (arguments.data == "scenes") {
    require(arguments.images.empty() && arguments.test_data.empty(), ErrorKind::usage,
            "--images and --test-data are of files of captions, not of scenes");
    const auto world = open_world(arguments.scenes);
    const SceneData train = {.split = scenes::Split::train,
                             .count = arguments.pictures.value_or(20'000),
                             .endless = true,
                             .side = std::min(std::min(how.height, how.width), scenes::kSide)};
    sources.train = scene_captions(world, train);
    sources.words = scene_captions(world, scenes::Split::train, 20'000);
    sources.test = scene_captions(world, scenes::Split::test, arguments.test_pictures.value_or(500));
    sources.labels = scene_labels();
    return sources;
  }
  require(!arguments.pictures && !arguments.test_pictures, ErrorKind::usage,
          "--pictures and --test-pictures are of scenes");
  CaptionDataOptions options{.data = arguments.data, .images = arguments.images, .splits = {"train", "restval"}};
  sources.train = sources.words = open_caption_data(options, /*draw=*/true).front().pictures;
  if (arguments.test_data.empty()) return sources;
  options.data = arguments.test_data;
  options.splits = {"test"};
  sources.test = open_caption_data(options, /*draw=*/true).front().pictures;
  return sources;
}

ModelInfo encoder_info(const TrainArguments& arguments, int64_t classes) {
  const SkipInit skip;
  ModelArgs args{.num_classes = arguments.model.classes.value_or(classes), .image_size = arguments.model.image_size};
  args.attention = attention_of(arguments);
  return create_model(arguments.model.model, args).info;
}

std::variant<GridDecoderOptions, TextDecoderOptions> decoder_of(const TrainArguments& arguments,
                                                                const ModelInfo& encoder, int64_t words,
                                                                int64_t longest) {
  const FeatureShape shape = feature_shape(encoder);
  if (arguments.caption == "lstm") {
    require(!arguments.decoder_depth, ErrorKind::usage, "--decoder-depth is of transformer, not of lstm");
    const int64_t width = arguments.decoder_width.value_or(256);
    return GridDecoderOptions{.vocabulary = words,
                              .word_dim = width / 2,
                              .state_dim = width,
                              .attention_dim = width / 2,
                              .memory_dim = shape.dim,
                              .dropout = 0,
                              .deep_output = true,
                              .places = shape.places};
  }
  const int64_t width = arguments.decoder_width.value_or(192);
  require(width % 32 == 0, ErrorKind::usage, "--decoder-width: expected a multiple of 32, got {}", width);
  return TextDecoderOptions{.vocabulary = words,
                            .positions = longest,
                            .dim = width,
                            .depth = arguments.decoder_depth.value_or(3),
                            .heads = width / 32,
                            .hidden = 4 * width,
                            .memory_dim = shape.dim,
                            .places = shape.places};
}

// Weights of a classifier fill the encoder, those of a captioner all of it.
void load_start(Captioner& captioner, const ModelOptions& options) {
  const StateDict weights = load_state_dict(options.weights);
  const bool whole =
      std::ranges::any_of(weights, [](const NamedTensor& named) { return named.name.starts_with("decoder."); });
  load_weights(whole ? captioner.module() : encoder_of(captioner).module(), weights, printable(options.weights),
               {.allow_missing = options.allow_missing,
                .allow_unexpected = options.allow_unexpected,
                .allow_non_finite = options.allow_non_finite,
                .adapt = options.adapt});
}

// Tokens of the longest sentence, start and end included.
int64_t longest_sentence(const CaptionDataset& data) {
  size_t longest = 0;
  for (int64_t i = 0; i < data.size(); ++i) {
    for (const std::string& caption : data.captions(i)) longest = std::max(longest, caption_words(caption).size());
  }
  return static_cast<int64_t>(longest) + 2;
}

}  // namespace

int train_captions(const TrainArguments& arguments, const Runtime& runtime) {
  require(arguments.teacher.empty(), ErrorKind::usage, "--teacher is for classifiers, not for captioners");
  require(arguments.labels.empty(), ErrorKind::usage, "--labels is for classifiers, not for captioners");
  require(arguments.part.empty(), ErrorKind::usage, "--into is for classifiers, not for captioners");
  require(!arguments.crowded, ErrorKind::usage, "--crowded is for classifiers, not for captioners");
  const bool scenes = arguments.data == "scenes";
  ModelInfo encoder = encoder_info(arguments, scenes ? std::ssize(scene_labels()) : 0);
  encoder.multi_label = scenes;
  const CaptionSources sources = open_sources(arguments, encoder.preprocess);
  const std::vector<std::string> words = vocabulary_of(*sources.words, scenes ? 1 : 5);

  at::manual_seed(static_cast<uint64_t>(arguments.seed));
  LoadedCaptioner captioner{.name = "fovea-captioner"};
  captioner.tokenizer = std::make_shared<const Tokenizer>(word_tokenizer(words));
  captioner.tokens = word_tokens;
  captioner.preprocess = encoder.preprocess;
  const int64_t longest = std::min<int64_t>(longest_sentence(*sources.words), 64);
  const TrainedCaptioner description = {
      .encoder = encoder,
      .labels = encoder.num_classes == std::ssize(sources.labels) ? sources.labels : std::vector<std::string>(),
      .decoder = decoder_of(arguments, encoder, captioner.tokenizer->size(), longest),
      .tokens = captioner.tokens};
  captioner.model = make_captioner(description);
  if (!arguments.model.weights.empty()) load_start(*captioner.model, arguments.model);
  captioner.model->module().to(runtime.device);

  CaptionLossOptions loss = arguments.loss;
  loss.place_share = arguments.place_share.value_or(loss.place_share);
  const fs::path folder = arguments.output;
  TrainProgress progress;
  RunCallbacks callbacks = progress.callbacks({"captions right", "CIDEr-D"});
  // From the first epoch on the folder is a captioner that can be loaded.
  const auto describe = [&] {
    write_captioner_config(folder.string(), description);
    write_vocabulary(folder / "vocab.json", words);
  };
  callbacks.on_epoch = [&, print = callbacks.on_epoch](const RunEpoch& epoch) {
    print(epoch);
    describe();
  };
  const RunResult result = train_captioner(
      captioner, {.train = *sources.train, .test = sources.test.get()},
      {.run = run_options(
           arguments, recipe_of(arguments, default_recipe(loss.self_critical ? "rewarded captioner" : "captioner"))),
       .model = fmt::format("{} {} {} {}", record_name(encoder), arguments.caption, arguments.decoder_width.value_or(0),
                            arguments.decoder_depth.value_or(0)),
       .loss = loss,
       .freeze_encoder = arguments.freeze_encoder},
      callbacks);
  progress.clear();
  if (result.interrupted) return exit_code_of(stop_signal());
  describe();
  if (!result.figures.empty()) {
    print_output(
        fmt::format("captions right {:.2f} %, CIDEr-D {:.3f}\n", 100 * result.figures.at(0), result.figures.at(1)));
  }
  print_output(fmt::format("try it: fovea caption --model {} IMAGE\n", printable(arguments.output)));
  return 0;
}

void add_caption_training_options(CLI::App& app, TrainArguments& arguments) {
  app.add_option("--caption", arguments.caption,
                 "Train a captioner whose encoder is --model: lstm (Show, Attend and Tell) or transformer. --data is "
                 "scenes, or a .json file of captions as COCO or Karpathy write them; --weights is of a classifier or "
                 "of a captioner")
      ->check(CLI::IsMember({"lstm", "transformer"}));
  app.add_option("--images", arguments.images, "Folder of the pictures of such a file")->type_name("DIR");
  app.add_option("--test-data", arguments.test_data, "Such a file to measure on; of Karpathy's, its split test")
      ->type_name("FILE");
  add_integer(app, "--decoder-width", arguments.decoder_width, {.least = 32, .most = 4096},
              "Of a captioner's state or tokens (lstm 256, transformer 192)");
  add_integer(app, "--decoder-depth", arguments.decoder_depth, {.least = 1, .most = 64},
              "Blocks of a transformer that writes (3)");
  add_positive(app, "--place-share", arguments.place_share,
               "Of scenes: share of the loss that says which thing lies at each place (1)");
  const auto share = [&](const char* option, double& value, const char* help) {
    app.add_option_function<std::string>(
           option, [option, &value](const std::string& text) { value = parse_positive(option, text); }, help)
        ->type_name("SHARE");
  };
  share("--guided", arguments.loss.guided, "Of captions of scenes: share of the loss |A - A*|^2 of attention");
  share("--doubly-stochastic", arguments.loss.doubly_stochastic,
        "Of captions: share of the loss that has every place looked at");
  share("--label-share", arguments.loss.labels,
        "Of captions of scenes: share of the encoder's loss as a classifier, which stays one");
  share("--word-share", arguments.loss.place_words,
        "Of captions of scenes: share of the loss that has each place of a thing alone say all words about it");
  share("--scheduled-sampling", arguments.loss.scheduled_sampling,
        "Of captions: probability, at the end, that a word is followed by the captioner's own, not the right one");
  app.add_flag("--freeze-encoder", arguments.freeze_encoder,
               "Of captions: the encoder stays as --weights has it, which costs a third of the time");
  app.add_flag("--self-critical", arguments.loss.self_critical,
               "Of captions: learn from CIDEr-D of drawn sentences; begin from --weights");
}

}  // namespace fovea
