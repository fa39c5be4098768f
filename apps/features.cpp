// fovea features: what the network makes of an input, as tensors in a safetensors file.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>

#include "fovea/apps/batch.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/state_dict.h"

namespace fovea {
namespace {

constexpr const char* origin_key = "written_by";
constexpr const char* origin = "fovea features";

struct FeaturesOptions {
  NetworkOptions network;
  ImageOptions image;
  std::string input;
  std::string output;
  std::string attention;  // RE2 on module paths; empty: no maps
  bool force = false;
};

// By content: after the length of its header, a safetensors file starts with a brace; no image does.
bool is_safetensors(const std::string& path) {
  char head[9] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(head, sizeof head);
  return (file.gcount() == sizeof head && head[8] == '{') || path.ends_with(".safetensors");
}

// [B,3,h,w] float32, normalised.
at::Tensor read_input(const FeaturesOptions& options, const PreprocessOptions& how) {
  if (!is_safetensors(options.input)) return preprocess(load_image(options.input, options.image), how).unsqueeze(0);
  const StateDict file = load_state_dict(options.input);
  const at::Tensor* input = file.find("input");
  const std::string name = printable(options.input);
  require(input != nullptr, ErrorKind::data, "{}: there is no tensor \"input\"", name);
  require(input->scalar_type() == at::kFloat, ErrorKind::data, "{}: input: expected float32, got {}", name,
          at::toString(input->scalar_type()));
  const bool fits = input->dim() == 4 && input->size(1) == 3 && input->numel() > 0;
  require(fits, ErrorKind::data, "{}: input: expected [B,3,height,width], got [{}]", name,
          fmt::join(input->sizes(), ","));
  require(at::isfinite(*input).all().item<bool>(), ErrorKind::data, "{}: input holds NaN or infinite values", name);
  return *input;
}

bool is_own_output(const std::string& path) {
  try {
    const StateDict file = load_state_dict(path);
    const auto found = file.metadata.find(origin_key);
    return found != file.metadata.end() && found->second == origin;
  } catch (const Error&) {
    return false;  // no safetensors file
  }
}

at::Tensor plain(const at::Tensor& tensor) {
  return tensor.to(at::kCPU, at::kFloat);
}

std::vector<NamedTensor> compute(const at::Tensor& input, const FeaturesOptions& options, const Network& network) {
  const c10::InferenceMode inference;
  ImageModel& model = *network.model;
  const auto x = input.to(network.runtime.device, network.runtime.dtype);
  const TokenGridScope grid(model.grid(x.size(2), x.size(3)));  // of attention within the head
  std::optional<AttentionRecorder> recorder;
  if (!options.attention.empty()) recorder.emplace(model.module(), RecorderOptions{.layers = options.attention});
  const at::Tensor features = model.forward_features(x);
  const at::Tensor logits = model.logits(features);
  std::vector<NamedTensor> maps;
  if (recorder) {
    for (const AttentionMap& map : recorder->maps()) maps.push_back({"attention/" + map.path, plain(map.weights)});
  }
  recorder.reset();
  // Not recorded: the logits may come from the pooled features, or from tokens of their own.
  std::vector<NamedTensor> tensors = {
      {"input", input}, {"logits", plain(logits)}, {"pooled", plain(model.pool(features))}};
  std::ranges::move(maps, std::back_inserter(tensors));
  for (const NamedTensor& named : tensors) {
    require(at::isfinite(named.tensor).all().item<bool>(), ErrorKind::numeric, "{}: {} holds NaN or infinite values",
            printable(options.input), named.name);
  }
  return tensors;
}

int run(const FeaturesOptions& options, const CommonOptions& common) {
  check_not_input(options.output, options.input);
  check_replaceable(options.output, options.force, is_own_output);
  const Network network = load_network(options.network, select_runtime(common));
  const at::Tensor input = read_input(options, network.info.preprocess);
  save_safetensors(options.output, compute(input, options, network), {{origin_key, origin}});
  return 0;
}

}  // namespace

Command add_features(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("features", "Write logits, pooled features and attention maps to a file");
  auto options = std::make_shared<FeaturesOptions>();
  app->add_option("INPUT", options->input, "An image, or a safetensors file with a tensor `input` [B,3,height,width]")
      ->required();
  app->add_option("--output", options->output, "The safetensors file to write")->required()->type_name("FILE");
  app->add_option("--attention", options->attention, "Regular expression: paths of attention modules to record")
      ->type_name("REGEX");
  app->add_flag("--force", options->force, "Replace a file that was not written by this command");
  add_decode_options(*app, options->image);
  add_model_options(*app, options->network.model);
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
