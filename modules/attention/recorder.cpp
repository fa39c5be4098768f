#include "fovea/modules/attention/recorder.h"

#include <ATen/ATen.h>
#include <re2/re2.h>

#include <unordered_map>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/window/window_layout.h"

namespace fovea {

struct AttentionRecorder::State : std::enable_shared_from_this<AttentionRecorder::State> {
  RecorderOptions options;
  std::unordered_map<const torch::nn::Module*, std::string> paths;  // of the layers that match
  std::unordered_map<const torch::nn::Module*, std::string> taps;   // of those whose output is asked for
  std::vector<AttentionMap> maps;
  std::vector<LayerOutput> outputs;
};

namespace {

// All that is thread-local in the library. Backward passes and recomputation run in other threads or after the scope,
// and so record nothing.
struct Scopes {
  AttentionRecorder::State* recorder = nullptr;
  TokenGrid grid;
  std::optional<WindowLayout> windows;
};

Scopes& scopes() {
  thread_local Scopes instance;
  return instance;
}

std::unordered_map<const torch::nn::Module*, std::string> matching_modules(const torch::nn::Module& model,
                                                                           const char* option,
                                                                           const std::string& expression) {
  const RE2 pattern(expression, RE2::Quiet);
  require(pattern.ok(), ErrorKind::usage, "AttentionRecorder: {} '{}': {}", option, expression, pattern.error());
  std::unordered_map<const torch::nn::Module*, std::string> paths;
  for (const auto& item : model.named_modules()) {
    if (RE2::FullMatch(item.key(), pattern)) paths.emplace(item.value().get(), item.key());
  }
  require(!paths.empty(), ErrorKind::usage, "AttentionRecorder: {} '{}' matches no module", option, expression);
  return paths;
}

}  // namespace

AttentionRecorder::AttentionRecorder(const torch::nn::Module& model, const RecorderOptions& options)
    : state_(std::make_shared<State>()), outer_(scopes().recorder) {
  state_->options = options;
  state_->paths = matching_modules(model, "layers", options.layers);
  if (!options.outputs.empty()) state_->taps = matching_modules(model, "outputs", options.outputs);
  scopes().recorder = state_.get();
}

AttentionRecorder::~AttentionRecorder() {
  scopes().recorder = outer_;
}

const std::vector<AttentionMap>& AttentionRecorder::maps() const {
  return state_->maps;
}

const std::vector<LayerOutput>& AttentionRecorder::outputs() const {
  return state_->outputs;
}

void AttentionRecorder::clear() {
  state_->maps.clear();
  state_->outputs.clear();
}

TokenGridScope::TokenGridScope(const TokenGrid& grid) : outer_(scopes().grid) {
  scopes().grid = grid;
}
TokenGridScope::~TokenGridScope() {
  scopes().grid = outer_;
}

namespace recording {

bool wanted(const torch::nn::Module* module) {
  const auto* recorder = scopes().recorder;
  return recorder != nullptr && module != nullptr && recorder->paths.contains(module);
}

bool differentiable(const torch::nn::Module* module) {
  return wanted(module) && scopes().recorder->options.differentiable;
}

bool gradients(const torch::nn::Module* module) {
  return wanted(module) && scopes().recorder->options.gradients;
}

bool wants_graph(const torch::nn::Module& block) {
  const auto* recorder = scopes().recorder;
  if (recorder == nullptr) return false;
  const bool of_maps = recorder->options.gradients || recorder->options.differentiable;
  for (const auto& module : block.modules()) {
    if ((of_maps && recorder->paths.contains(module.get())) || recorder->taps.contains(module.get())) return true;
  }
  return false;
}

Pause::Pause() : outer_(std::exchange(scopes().recorder, nullptr)) {}
Pause::~Pause() {
  scopes().recorder = outer_;
}

std::vector<int64_t> queries() {
  const auto& scope = scopes();
  if (scope.recorder == nullptr || scope.windows) return {};
  return scope.recorder->options.queries;
}

TokenGrid current_grid() {
  const auto& scope = scopes();
  if (!scope.windows) return scope.grid;
  return {.height = scope.windows->height, .width = scope.windows->width};
}

WindowScope::WindowScope(const WindowLayout& layout) {
  scopes().windows = layout;
}
WindowScope::~WindowScope() {
  scopes().windows.reset();
}

size_t add(const torch::nn::Module* module, MapKind kind, const at::Tensor& weights,
           const std::vector<int64_t>& queries) {
  auto& scope = scopes();
  AttentionMap map;
  map.path = scope.recorder->paths.at(module);
  map.kind = kind;
  map.weights = weights.to(at::kFloat);
  if (!scope.recorder->options.differentiable) map.weights = map.weights.detach();
  map.grid = current_grid();
  map.queries = queries;
  if (scope.windows) {
    map.window = scope.windows->window_height;
    map.shift = scope.windows->shift_height;
    map.window_width = scope.windows->window_width;
    map.shift_width = scope.windows->shift_width;
    map.pad_first = scope.windows->pad_first;
    map.strided = scope.windows->strided;
  }
  scope.recorder->maps.push_back(std::move(map));
  return scope.recorder->maps.size() - 1;
}

void output(const torch::nn::Module* module, const at::Tensor& value, int64_t channel_dim) {
  auto* recorder = scopes().recorder;
  if (recorder == nullptr || !recorder->taps.contains(module)) return;
  const size_t index = recorder->outputs.size();
  recorder->outputs.push_back({.path = recorder->taps.at(module),
                               .value = value.detach(),
                               .gradient = {},
                               .channel_dim = channel_dim,
                               .grid = current_grid()});
  if (!value.requires_grad()) return;
  value.register_hook([state = recorder->weak_from_this(), index](const at::Tensor& grad) {
    if (const auto alive = state.lock(); alive && index < alive->outputs.size()) {
      alive->outputs[index].gradient = grad.detach();
    }
  });
}

void add_gradient(size_t index, const at::Tensor& output,
                  const std::function<at::Tensor(const at::Tensor&)>& to_map_gradient) {
  // Backward may come after the recorder's end.
  auto state = scopes().recorder->weak_from_this();
  output.register_hook([state, index, to_map_gradient](const at::Tensor& grad) {
    if (const auto alive = state.lock(); alive && index < alive->maps.size()) {
      at::NoGradGuard no_grad;
      alive->maps[index].gradient = to_map_gradient(grad).to(at::kFloat);
    }
  });
}

}  // namespace recording
}  // namespace fovea
