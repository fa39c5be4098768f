// fovea caption: what is on each image in words, and for each word where the network looked.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "fovea/apps/answers.h"
#include "fovea/apps/arguments.h"
#include "fovea/apps/batch.h"
#include "fovea/apps/captioner.h"
#include "fovea/apps/command.h"
#include "fovea/apps/device.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/apps/preview.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/shipped.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/captioning/models/trained_captioner.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/vision/draw/word_sheet.h"

namespace fovea {
namespace {

constexpr size_t caption_batch = 8;      // images a forward pass
constexpr int64_t kMostCaptions = 1000;  // of an image

struct CaptionArguments {
  std::string model;
  std::string weights;
  ImageOptions images;
  std::string prompt;
  std::optional<int64_t> beams;  // these as generation_config.json says where nothing is given
  std::optional<int64_t> n_best;
  std::optional<int64_t> max_length;
  std::optional<int64_t> min_length;
  std::optional<int64_t> no_repeat;
  std::optional<double> top_p;
  std::optional<double> temperature;
  std::optional<double> repetition_penalty;
  int64_t seed = 0;
  bool json = false;
  std::string maps;  // folder
  bool preview = false;
  bool force = false;
};

struct CaptionAnswer {
  std::string path;
  std::string error;    // empty: none
  std::string preview;  // where it was asked for
  std::vector<Caption> captions;
  bool strange = false;  // to a shipped network: it knows nothing on the picture
};

class Program {
 public:
  Program(const CaptionArguments& arguments, const Runtime& runtime)
      : arguments_(arguments),
        runtime_(runtime),
        captioner_(open_captioner(arguments.model, arguments.weights, runtime)) {
    prepare_for_inference(captioner_.model->module());  // a caption takes many steps, so it is always worth it
    options_ = {.generation = generation_of(), .prompt = arguments.prompt, .maps = !arguments.maps.empty()};
    check_prompt();
  }

  // Answers of one batch; images that cannot be read stay out of the forward pass.
  std::vector<CaptionAnswer> answer(const std::vector<std::string>& paths, const std::vector<std::string>& sheets,
                                    BatchResult& result) const {
    std::vector<CaptionAnswer> answers;
    std::vector<at::Tensor> inputs;
    std::vector<Image> pictures;
    std::vector<size_t> read;  // answers that have an input
    for (const std::string& path : paths) {
      answers.push_back({.path = path, .error = "", .preview = "", .captions = {}});
      try {
        pictures.push_back(load_image(path, arguments_.images));
        inputs.push_back(preprocess(pictures.back(), captioner_.preprocess));
        if (arguments_.preview) answers.back().preview = preview_of(pictures.back());
        read.push_back(answers.size() - 1);
      } catch (...) {
        pictures.resize(inputs.size());
        answers.back().error = result.add_failure(path);
      }
    }
    if (inputs.empty()) return answers;
    const c10::InferenceMode inference;
    const auto x = at::stack(inputs).to(runtime_.device, runtime_.dtype);
    const auto strange = find_strange(x);
    auto captions = caption(captioner_, x, options_);
    for (size_t i = 0; i < read.size(); ++i) {
      CaptionAnswer& one = answers[read[i]];
      one.captions = std::move(captions[i]);
      one.strange = strange[i];
      if (sheets.empty()) continue;
      try {
        write_sheet(sheets[read[i]], pictures[i], one.captions.front());
      } catch (...) {
        one.error = result.add_failure(one.path);
      }
    }
    return answers;
  }

 private:
  // Of each picture, whether a shipped network names nothing on it.
  std::vector<bool> find_strange(const at::Tensor& x) const {
    std::vector<bool> strange(static_cast<size_t>(x.size(0)), false);
    if (!arguments_.model.empty()) return strange;
    const auto surest = std::get<0>(encoder_of(*captioner_.model).forward(x).sigmoid().to(at::kCPU, at::kFloat).max(1));
    for (size_t i = 0; i < strange.size(); ++i) strange[i] = surest[static_cast<int64_t>(i)].item<float>() < 0.5F;
    return strange;
  }

  // What the captioner's own configuration asks for, and what the command line says instead.
  GenerationOptions generation_of() const {
    GenerationOptions options = captioner_.usual.options;
    options.max_length = arguments_.max_length.value_or(options.max_length);
    options.min_length = arguments_.min_length.value_or(options.min_length);
    options.no_repeat_ngram = arguments_.no_repeat.value_or(options.no_repeat_ngram);
    options.repetition_penalty = arguments_.repetition_penalty.value_or(options.repetition_penalty);
    options.seed = static_cast<uint64_t>(arguments_.seed);
    if (arguments_.beams) {
      options.beams = *arguments_.beams;
      options.sample = false;
    }
    if (arguments_.top_p) {
      options.beams = 1;
      options.sample = true;
      options.temperature = arguments_.temperature.value_or(1);
      options.top_k = 0;
      options.top_p = *arguments_.top_p;
    }
    const int64_t most = options.sample && options.beams == 1 ? kMostCaptions : options.beams;
    options.n_best = arguments_.n_best.value_or(std::min(options.n_best, most));
    require(options.n_best <= most, ErrorKind::usage, "--n-best {} needs --beams of as many, or --top-p",
            options.n_best);
    return options;
  }

  // Before any image is read: these are mistakes of the command line.
  void check_prompt() const {
    try {
      const int64_t given = prompt_tokens(captioner_, arguments_.prompt).size(1);
      const int64_t longest = captioner_.model->longest();
      const int64_t limit = options_.generation.max_length;
      const int64_t most = limit > 0 ? limit : given + 1;
      require(given < std::min(most, longest > 0 ? longest : most), ErrorKind::usage,
              "--prompt: its {} tokens leave none of {}", given, std::min(most, longest > 0 ? longest : most));
    } catch (const Error& error) {
      fail(ErrorKind::usage, "{}{}", error.kind() == ErrorKind::usage ? "" : "--prompt: ", error.what());
    }
  }

  void write_sheet(const std::string& path, const Image& image, const Caption& best) const {
    require(!best.words.empty(), ErrorKind::data, "the caption has no words to draw");
    std::vector<WordHeat> words;
    for (const CaptionWord& word : best.words) {
      words.push_back({word.text, {.values = word.heat, .method = "attention", .unit = "attention weight"}});
    }
    const Rectangle seen = crop_geometry(image.width, image.height, captioner_.preprocess).in_original();
    const std::string title = fmt::format("{} ({})", best.text, captioner_.name);
    write_picture(path, encode_png(draw_word_sheet(image, words, {.title = title, .seen = seen})), arguments_.force);
  }

  const CaptionArguments& arguments_;
  Runtime runtime_;
  LoadedCaptioner captioner_;
  CaptionOptions options_;
};

void append_json(nlohmann::ordered_json& list, const CaptionAnswer& answer) {
  if (!answer.error.empty()) {
    list.push_back({{"image", answer.path}, {"error", answer.error}});
  } else {
    append_captions(list, answer.path, answer.captions);
  }
}

void check(const CaptionArguments& arguments) {
  require(!arguments.model.empty() || arguments.weights.empty(), ErrorKind::usage, "--weights needs --model DIR");
  std::error_code error;
  require(std::filesystem::is_directory(arguments.model, error) || !std::filesystem::exists(arguments.model, error),
          ErrorKind::usage, "--model: {} is no folder", printable(arguments.model));
  require(!arguments.top_p || arguments.beams.value_or(1) == 1, ErrorKind::usage,
          "--top-p draws captions; leave --beams out");
  require(!arguments.top_p || *arguments.top_p <= 1, ErrorKind::usage, "--top-p: expected a number of 0 to 1, got {}",
          arguments.top_p.value_or(0));
  require(arguments.top_p || !arguments.temperature, ErrorKind::usage, "--temperature needs --top-p");
  require(!arguments.preview || !arguments.json, ErrorKind::usage, "--preview and --json contradict each other");
  require(arguments.maps.empty() || draw_available(), ErrorKind::usage,
          "--maps: this build of fovea has no OpenCV and cannot draw");
}

int run(const CaptionArguments& arguments, const CommonOptions& common) {
  check(arguments);
  const std::vector<std::string>& paths = arguments.images.paths;
  std::vector<std::string> sheets;
  if (!arguments.maps.empty()) sheets = picture_names(arguments.maps, ".words.png", paths);
  const Program program(arguments, select_runtime(common));
  if (!sheets.empty()) make_folder(arguments.maps);

  BatchResult result(arguments.images.keep_going);
  auto list = nlohmann::ordered_json::array();
  bool strange = false;
  Progress progress("caption", static_cast<int64_t>(paths.size()));
  for (size_t first = 0; first < paths.size() && stop_signal() == 0; first += caption_batch) {
    const auto part = [&](const std::vector<std::string>& all) {
      const size_t end = std::min(first + caption_batch, all.size());
      return all.empty()
                 ? all
                 : std::vector(all.begin() + static_cast<ptrdiff_t>(first), all.begin() + static_cast<ptrdiff_t>(end));
    };
    const std::vector<std::string> batch = part(paths);
    for (const CaptionAnswer& answer : program.answer(batch, part(sheets), result)) {
      append_json(list, answer);
      strange = strange || answer.strange;
      if (arguments.json || !answer.error.empty()) continue;
      progress.clear();
      print_output(answer.preview);
      for (const Caption& caption : answer.captions) {
        print_output(fmt::format("{}: {}\n", printable(answer.path), printable(caption.text)));
      }
    }
    progress.update(static_cast<int64_t>(first + batch.size()));
  }
  if (arguments.json) print_output(as_text(list));
  if (strange) warn_of_shipped_networks();
  return result.exit_code();
}

}  // namespace

Command add_caption(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("caption", "Say in words what is on images");
  auto arguments = std::make_shared<CaptionArguments>();
  add_image_options(*app, arguments->images);
  app->add_option("--model", arguments->model,
                  "fovea_lstm_scenes (the default), fovea_transformer_scenes, or a folder of a captioner: config.json, "
                  "weights, tokenizer")
      ->type_name("NAME|DIR");
  app->add_option("--weights", arguments->weights, "Another file of its weights")->type_name("FILE");
  add_integer(*app, "--beams", arguments->beams, {.least = 1, .most = 1000},
              "Beams of the search; 1 is greedy (as generation_config.json says, else 1)");
  add_integer(*app, "--max-length", arguments->max_length, {.least = 2, .most = 100'000},
              "Tokens of a caption, start, prompt and end included (as generation_config.json says, else 20 behind the "
              "prompt)");
  add_integer(*app, "--min-length", arguments->min_length, {.least = 0, .most = 100'000},
              "Tokens that a caption has at least");
  app->add_option("--prompt", arguments->prompt, "How every caption begins")->type_name("TEXT");
  app->add_option_function<std::string>(
         "--top-p", [arguments](const std::string& text) { arguments->top_p = parse_positive("--top-p", text); },
         "Draw from the likeliest tokens that together have this probability")
      ->type_name("P");
  add_positive(*app, "--temperature", arguments->temperature, "Of the draws: below 1 sharper, above flatter");
  add_integer(*app, "--seed", arguments->seed, {.least = 0}, "Of the draws");
  add_positive(*app, "--repetition-penalty", arguments->repetition_penalty,
               "Above 1: tokens that are there count less");
  add_integer(*app, "--no-repeat-ngram", arguments->no_repeat, {.least = 0, .most = 1000},
              "No run of so many tokens twice; 0: any may");
  add_integer(*app, "--n-best", arguments->n_best, {.least = 1, .most = kMostCaptions},
              "Captions for each image, best first");
  app->add_flag("--json", arguments->json, "Answer as JSON");
  app->add_option("--maps", arguments->maps, "Folder for <image>.words.png: where the network looked for each word")
      ->type_name("DIR");
  app->add_flag("--preview", arguments->preview, "Show each image in the terminal too, in coloured half blocks");
  app->add_flag("--force", arguments->force, "Replace pictures that were not written by this command");
  add_common_options(*app, common);
  return {app, [arguments, &common] { return run(*arguments, common); }};
}

}  // namespace fovea
