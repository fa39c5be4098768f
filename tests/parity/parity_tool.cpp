// Runs networks of ours for the Python tests beside it: one job a line of JSON on standard input, one line of JSON as
// its answer on standard output. harness.py describes the jobs.
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/vision/explain/methods.h"
#include "fovea/vision/models/registry.h"
#include "subjects.h"

namespace fovea::parity {
namespace {

using nlohmann::json;

const std::map<std::string, at::ScalarType> types = {
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"bfloat16", at::kBFloat16}};

json describe(const AttentionMap& map) {
  return {{"path", map.path},
          {"grid", {map.grid.height, map.grid.width, map.grid.prefix}},
          {"window", map.window},
          {"shift", map.shift}};
}

class Job {
 public:
  explicit Job(const json& job) : job_(job) {
    std::optional<SkipInit> skip;
    if (job.contains("weights") || !job.contains("input")) skip.emplace();
    subject_ = make_subject(job.at("subject"));
  }

  json run() {
    json answer = json::object();
    if (job_.contains("weights")) {
      const auto report = load_weights(*subject_.module, std::string(job_["weights"]),
                                       {.adapt = job_.value("adapt", false), .layout = job_.value("layout", "")});
      answer["weights"] = report.to_string();
    }
    subject_.module->to(type_);
    subject_.module->train(job_.value("train", false));
    if (job_.value("prepare", false)) prepare_for_inference(*subject_.module);
    if (wants("shapes")) answer["shapes"] = shapes();
    if (job_.contains("input")) forward(answer);
    if (job_.contains("output")) save_safetensors(std::string(job_["output"]), out_);
    return answer;
  }

 private:
  bool wants(const char* what) const {
    const auto& want = job_.at("want");
    return std::find(want.begin(), want.end(), what) != want.end();
  }

  json shapes() const {
    json result = json::object();
    for (const auto& [name, tensor] : named_weights(*subject_.module)) result[name] = tensor.sizes().vec();
    return result;
  }

  void forward(json& answer) {
    const StateDict input = load_state_dict(std::string(job_["input"]));
    if (job_.contains("explain")) return explain_with(job_["explain"], input.find("input")->to(type_));
    const bool differentiate = wants("gradients");
    const auto x = input.find("input")->to(type_).requires_grad_(differentiate);
    const at::AutoGradMode mode(differentiate);
    std::optional<AttentionRecorder> recorder;
    if (job_.contains("attention")) {
      recorder.emplace(*subject_.module, RecorderOptions{.layers = job_["attention"]});
    }
    const auto result = outputs(x);
    if (recorder) {
      for (const AttentionMap& map : recorder->maps()) {
        add("attention/" + map.path, map.weights);
        answer["maps"].push_back(describe(map));
      }
    }
    if (differentiate) gradients(x, result, input.find("cotangent")->to(type_));
    if (wants("weights")) {
      for (const auto& [name, tensor] : named_weights(*subject_.module)) add("weight/" + name, tensor);
    }
    if (wants("buffers")) {
      for (const auto& buffer : subject_.module->named_buffers()) add("buffer/" + buffer.key(), buffer.value());
    }
  }

  void explain_with(const json& options, const at::Tensor& x) {
    const auto integer = [&](const char* key) {
      return options.contains(key) ? std::optional<int64_t>(options[key].get<int64_t>()) : std::nullopt;
    };
    const Explanation seen = explain(*subject_.model, x,
                                     {.method = options.at("method"),
                                      .layer = options.value("layer", ""),
                                      .head = integer("head"),
                                      .query = integer("query"),
                                      .target = integer("class")});
    add("heat", seen.heat.values);
    add("logits", seen.logits);
  }

  // Logits of a model by its parts, so that these come out too; the plain output of a layer.
  at::Tensor outputs(const at::Tensor& x) {
    ImageModel* model = subject_.model;
    if (model == nullptr || !(wants("features") || wants("pooled"))) {
      const auto result = subject_.forward(x);
      add(model == nullptr ? "output" : "logits", result);
      return result;
    }
    const auto features = model->forward_features(x);
    add("features", features);
    add("pooled", model->pool(features));
    const auto logits = model->logits(features);
    add("logits", logits);
    return logits;
  }

  void gradients(const at::Tensor& x, const at::Tensor& result, const at::Tensor& cotangent) {
    torch::autograd::backward({result}, {cotangent});
    add("gradient/input", x.grad());
    for (const auto& parameter : subject_.module->named_parameters()) {
      require(parameter.value().grad().defined(), ErrorKind::internal, "no gradient reached {}", parameter.key());
      add("gradient/" + parameter.key(), parameter.value().grad());
    }
  }

  void add(const std::string& name, const at::Tensor& tensor) { out_.push_back({name, tensor.detach()}); }

  const json& job_;
  at::ScalarType type_ = types.at(job_.value("dtype", "float32"));
  Subject subject_;
  std::vector<NamedTensor> out_;
};

json table() {
  json rows = json::array();
  for (const ModelInfo& info : model_table()) {
    const PreprocessOptions& p = info.preprocess;
    rows.push_back({{"name", info.name},
                    {"family", info.family},
                    {"num_classes", info.num_classes},
                    {"input_size", {3, p.height, p.width}},
                    {"crop_pct", p.crop_pct},
                    {"crop_mode", p.crop_mode == CropMode::center   ? "center"
                                  : p.crop_mode == CropMode::squash ? "squash"
                                                                    : "border"},
                    {"interpolation", p.interpolation == Interpolation::bicubic    ? "bicubic"
                                      : p.interpolation == Interpolation::bilinear ? "bilinear"
                                                                                   : "nearest"},
                    {"mean", p.mean},
                    {"std", p.std}});
  }
  return {{"table", rows}};
}

json answer(const std::string& line) {
  try {
    const json job = json::parse(line);
    return job.contains("subject") ? Job(job).run() : table();
  } catch (const Error& error) {
    return {{"error", error.what()}, {"code", static_cast<int>(error.kind())}};
  } catch (const c10::Error& error) {
    return {{"error", error.what_without_backtrace()}, {"code", 1}};
  } catch (const std::exception& error) {
    return {{"error", error.what()}, {"code", 1}};
  }
}

}  // namespace
}  // namespace fovea::parity

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << fovea::parity::answer(line).dump() << std::endl;
  return 0;
}
