#include "fovea/apps/network.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "fovea/apps/resources.h"
#include "fovea/datasets/embedded.h"
#include "fovea/datasets/labels.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/modules/weights/weight_folder.h"
#include "fovea/vision/models/model_config.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// What --model means, before anything is built.
struct Source {
  ModelConfig config;
  std::string weights;  // empty: none
  std::string part;     // of LoadOptions
};

Source source_of_folder(const fs::path& folder, const std::string& weights) {
  // A captioner that fovea trained holds a classifier too: what it sees with.
  std::error_code error;
  const fs::path encoder = folder / "encoder.json";
  const bool captioner = fs::exists(encoder, error);
  return {.config = read_model_config((captioner ? encoder : folder / "config.json").string()),
          .weights = weights.empty() ? weights_in(folder).string() : weights,
          .part = captioner ? "encoder." : ""};
}

Source find_source(const ModelOptions& options) {
  require(!options.model.empty() || options.weights.empty(), ErrorKind::usage, "--weights needs --model NAME");
  const std::string name = options.model.empty() ? embedded_models().front().name : options.model;
  std::error_code error;
  if (fs::is_directory(name, error)) return source_of_folder(name, options.weights);
  const EmbeddedCaptioner* const captioner = find_embedded_captioner(name);
  if (captioner != nullptr && options.weights.empty()) return source_of_folder(resource(captioner->folder), "");
  Source source{.config = {.architecture = name}, .weights = options.weights, .part = ""};
  if (const EmbeddedModel* embedded = find_embedded(name)) {
    if (source.weights.empty()) source.weights = resource(embedded->weights).string();
    source.config.labels = read_labels(resource(embedded->labels).string());
  }
  return source;
}

NamedModel build(const ModelConfig& config, const ModelArgs& args) {
  if (find_embedded(config.architecture) == nullptr) return create_model(config, args);
  NamedModel named = create_embedded(config.architecture, {.attention = config.attention});
  const int64_t wanted = args.num_classes.value_or(config.num_classes.value_or(named.info.num_classes));
  require(wanted == named.info.num_classes, ErrorKind::usage, "{} has {} classes, {} were asked for",
          config.architecture, named.info.num_classes, wanted);
  return named;
}

std::vector<std::string> labels_for(int64_t classes, const ModelConfig& config, const std::string& file) {
  if (!file.empty()) {
    std::vector<std::string> labels = read_labels(file);
    require(static_cast<int64_t>(labels.size()) == classes, ErrorKind::data,
            "{}: {} labels, but the model has {} classes", printable(file), labels.size(), classes);
    return labels;
  }
  if (static_cast<int64_t>(config.labels.size()) == classes) return config.labels;
  return classes == 1000 ? read_labels(resource("labels/imagenet-1k.txt").string()) : std::vector<std::string>();
}

}  // namespace

std::string Network::label(int64_t index) const {
  return labels.empty() ? std::to_string(index) : labels.at(static_cast<size_t>(index));
}

at::Tensor Network::logits(const at::Tensor& x) const {
  const c10::InferenceMode inference;
  return model->forward(x.to(runtime.device, runtime.dtype)).to(at::kCPU, at::kFloat);
}

std::vector<Prediction> Network::best(const at::Tensor& logits, int64_t k) const {
  require(at::isfinite(logits).all().item<bool>(), ErrorKind::numeric,
          "the network answers with NaN or infinite values");
  const auto all = info.multi_label ? at::sigmoid(logits) : at::softmax(logits, 0);
  const auto [scores, indices] = all.topk(std::min(k, logits.size(0)));
  std::vector<Prediction> predictions;
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const auto index = indices[i].item<int64_t>();
    predictions.push_back({.index = index, .score = scores[i].item<double>(), .label = label(index)});
  }
  return predictions;
}

Network load_network(const NetworkOptions& options, const Runtime& runtime) {
  const Source source = find_source(options.model);
  const ModelArgs args = {.num_classes = options.model.classes};
  const bool random = source.weights.empty();

  NamedModel named;
  if (random || options.model.allow_missing || options.model.adapt) {
    named = build(source.config, args);
  } else {
    const SkipInit skip;
    named = build(source.config, args);
  }
  // After the name, so that a mistyped one is called that.
  require(!random || options.allow_random, ErrorKind::usage, "--model {} needs --weights FILE",
          source.config.architecture);

  Network network{.info = std::move(named.info),
                  .model = std::move(named.model),
                  .labels = {},
                  .runtime = runtime,
                  .random_weights = random};
  network.info.preprocess = source.config.preprocess.applied_to(network.info.preprocess);
  if (options.model.image_size) {
    network.info.preprocess.height = network.info.preprocess.width = *options.model.image_size;
  }
  network.labels = labels_for(network.info.num_classes, source.config, options.labels);

  torch::nn::Module& module = network.model->module();
  if (!random) {
    const LoadReport report = load_weights(module, source.weights,
                                           {.allow_missing = options.model.allow_missing,
                                            .allow_unexpected = options.model.allow_unexpected,
                                            .allow_non_finite = options.model.allow_non_finite,
                                            .adapt = options.model.adapt,
                                            .layout = options.model.layout,
                                            .norm_eps = source.config.norm_eps,
                                            .part = source.part});
    spdlog::info("{}: {}", printable(source.weights), report.to_string());
  }
  if (!runtime.device.is_cpu() || runtime.dtype != at::kFloat) module.to(runtime.device, runtime.dtype);
  module.eval();
  return network;
}

}  // namespace fovea
