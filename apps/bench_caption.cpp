// fovea bench caption: how fast a captioner writes here, and how near that is to reading its weights once a token.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "fovea/apps/arguments.h"
#include "fovea/apps/captioner.h"
#include "fovea/apps/command.h"
#include "fovea/apps/device.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUps = 2;
constexpr int kLeastCaptions = 7;
constexpr int kMostCaptionRuns = 200;
constexpr double kEnoughTime = 4000;  // milliseconds, once there are kLeastCaptions

struct CaptionBenchOptions {
  std::string model;
  int64_t beams = 1;
  int64_t tokens = 20;
  bool json = false;
};

struct CaptionBench {
  double encode_ms = 0;  // medians of an image
  double first_token_ms = 0;
  double caption_ms = 0;
  double least = 0;  // of the captions
  double most = 0;
  int runs = 0;
};

double milliseconds_of(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

CaptionBench measure_captions(const LoadedCaptioner& captioner, const Runtime& runtime,
                              const CaptionBenchOptions& options) {
  const c10::InferenceMode inference;
  const PreprocessOptions& size = captioner.preprocess;
  const at::Tensor x = at::randn({1, 3, size.height, size.width}).to(runtime.device, runtime.dtype);
  // Exactly so many tokens: the end is forbidden before.
  CaptionOptions writing{.generation = captioner.usual.options};
  writing.generation.beams = options.beams;
  writing.generation.n_best = 1;
  writing.generation.sample = false;
  const auto encode = [&] { captioner.model->encode(x).sum().item<double>(); };
  const auto write = [&](int64_t tokens) {
    writing.generation.min_length = writing.generation.max_length = tokens + 1;
    const auto found = caption(captioner, x, writing);
    require(found[0].empty() || std::ssize(found[0][0].generated.rows) == tokens, ErrorKind::data,
            "bench caption: the decoder writes {} tokens at most", captioner.model->longest());
  };
  for (int i = 0; i < kWarmUps; ++i) write(options.tokens);
  std::vector<double> encodes, firsts, captions;
  Progress progress("bench", kMostCaptionRuns);
  double total = 0;
  while (stop_signal() == 0 && std::ssize(captions) < kMostCaptionRuns &&
         (std::ssize(captions) < kLeastCaptions || total < kEnoughTime)) {
    encodes.push_back(milliseconds_of(encode));
    firsts.push_back(milliseconds_of([&] { write(1); }));
    captions.push_back(milliseconds_of([&] { write(options.tokens); }));
    total += captions.back();
    progress.update(std::ssize(captions));
  }
  if (captions.empty()) return {};
  const auto [least, most] = std::ranges::minmax(captions);
  return {.encode_ms = median_of(encodes),
          .first_token_ms = median_of(firsts),
          .caption_ms = median_of(captions),
          .least = least,
          .most = most,
          .runs = static_cast<int>(captions.size())};
}

int run_caption_bench(const CaptionBenchOptions& options, const CommonOptions& common) {
  const Runtime runtime = select_runtime(common);
  const LoadedCaptioner captioner = open_captioner(options.model, "", runtime);
  prepare_for_inference(captioner.model->module());
  const CaptionBench result = measure_captions(captioner, runtime, options);
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  const auto tokens = static_cast<double>(options.tokens);
  const double each = (result.caption_ms - result.first_token_ms) / (tokens - 1);
  const nlohmann::ordered_json json = {{"model", captioner.name},
                                       {"beams", options.beams},
                                       {"tokens", options.tokens},
                                       {"caption_ms", result.caption_ms},
                                       {"encode_ms", result.encode_ms},
                                       {"first_token_ms", result.first_token_ms},
                                       {"milliseconds_per_step", each},
                                       {"tokens_per_second", 1e3 * tokens / result.caption_ms},
                                       {"runs", result.runs}};
  print_output(
      options.json
          ? json.dump(2) + "\n"
          : fmt::format("{}, {} beams: {:.1f} ms a caption of {} tokens (median of {} runs, {:.1f} to {:.1f}), "
                        "{:.1f} tokens a second\nthe first token takes {:.1f} ms, {:.1f} of them for the image, each "
                        "further one {:.2f} ms\n",
                        captioner.name, options.beams, result.caption_ms, options.tokens, result.runs, result.least,
                        result.most, 1e3 * tokens / result.caption_ms, result.first_token_ms, result.encode_ms, each));
  return 0;
}

}  // namespace

Command add_bench_caption(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.get_subcommand("bench")->add_subcommand("caption", "Of one captioner on a random image");
  auto options = std::make_shared<CaptionBenchOptions>();
  app->add_option("--model", options->model,
                  "fovea_lstm_scenes (the default), fovea_transformer_scenes, or a folder of a captioner: config.json, "
                  "weights, tokenizer")
      ->type_name("NAME|DIR");
  add_integer(*app, "--beams", options->beams, {.least = 1, .most = 1000}, "Beams of the search (1)");
  add_integer(*app, "--tokens", options->tokens, {.least = 2, .most = 10'000}, "Tokens of a caption (20)");
  app->add_flag("--json", options->json, "Answer as JSON");
  add_common_options(*app, common);
  return {app, [options, &common] { return run_caption_bench(*options, common); }};
}

}  // namespace fovea
