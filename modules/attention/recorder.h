// Attention maps without touching a model: a scope that collects what the layers inside it attend to.
//
//     AttentionRecorder recorder(*model, {.layers = R"(blocks\.1[01]\.attn)", .queries = {0}});
//     auto logits = model->forward(image);
//     for (const AttentionMap& map : recorder.maps()) …
//
// Recording changes no output bit: the fused backend still runs, and only the rows asked for are computed beside it.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

struct WindowLayout;  // modules/window/window_layout.h

// How the tokens of a sequence lie on the image: `prefix` tokens (CLS, distillation, registers), then height × width
// patches in row order.
struct TokenGrid {
  int64_t height = 0;
  int64_t width = 0;
  int64_t prefix = 0;
};

enum class MapKind {
  tokens,   // [B,H,n,M]: rows sum to 1 (0 for a fully masked row)
  channel,  // [B,C]: a gate a channel, 0…1
  spatial,  // [B,1,h,w]: a gate a pixel, 0…1
  feature,  // [B,C,h,w]: a gate for each channel of each pixel, 0…1
};

struct AttentionMap {
  std::string path;  // of the attention module, as in named_modules(): "blocks.3.attn"
  MapKind kind = MapKind::tokens;
  at::Tensor weights;            // float32, detached unless the recorder is differentiable
  at::Tensor gradient;           // d(loss)/d(weights), filled by backward when asked for
  TokenGrid grid;                // of the model, or of the stage (Swin)
  std::vector<int64_t> queries;  // which rows `weights` holds; empty: all
  int64_t window = 0;            // Swin: height of a window; B of `weights` is then batch · windows, in row order
  int64_t shift = 0;             // Swin: rows by which the grid is rolled up
  int64_t window_width = 0;      // Swin: as window and shift, along the other side
  int64_t shift_width = 0;
  bool pad_first = false;  // Swin: the grid is padded, then rolled (torchvision); false: rolled, then padded (timm)
  bool strided = false;    // MaxViT: each window takes rows and columns of the whole grid at even distances
};

// What a layer that is no attention gave on the way: the output of a norm or of a stage.
struct LayerOutput {
  std::string path;         // of the module: "blocks.11.norm1", "layer4"
  at::Tensor value;         // detached
  at::Tensor gradient;      // d(loss)/d(value), filled by backward
  int64_t channel_dim = 1;  // of value: 1 in [B,C,h,w], the last in [B,N,C] and [B,h,w,C]
  TokenGrid grid;
};

struct RecorderOptions {
  std::string layers = ".*";          // RE2, full match on the path of the attention module
  std::vector<int64_t> queries = {};  // rows of token attention to keep; empty: all. Windows always give all rows
  bool gradients = false;             // fill AttentionMap::gradient on backward, fused attention stays on
  bool differentiable = false;        // matching layers run on the reference backend, maps stay in the autograd graph
  std::string outputs = "";           // RE2, full match on the path: norms and stages whose output is kept; empty: none
};

// Active in the thread that made it, until it is destroyed; the innermost one records.
class AttentionRecorder {
 public:
  // Throws Error(usage) when `layers` is no regular expression or matches no module of the model.
  explicit AttentionRecorder(const torch::nn::Module& model, const RecorderOptions& options = {});
  ~AttentionRecorder();
  AttentionRecorder(const AttentionRecorder&) = delete;
  AttentionRecorder& operator=(const AttentionRecorder&) = delete;

  const std::vector<AttentionMap>& maps() const;    // in the order of the forward pass
  const std::vector<LayerOutput>& outputs() const;  // likewise
  void clear();                                     // forget all of them, keep recording

  struct State;

 private:
  std::shared_ptr<State> state_;
  State* outer_;
};

// A model opens this around its blocks, so that every map knows its geometry.
class TokenGridScope {
 public:
  explicit TokenGridScope(const TokenGrid& grid);
  ~TokenGridScope();
  TokenGridScope(const TokenGridScope&) = delete;
  TokenGridScope& operator=(const TokenGridScope&) = delete;

 private:
  TokenGrid outer_;
};

namespace recording {

// What layers and the core ask; all of it is a null check when nothing records.

// True when a recorder of this thread wants maps of `module`.
bool wanted(const torch::nn::Module* module);
// True when it wants them differentiable.
bool differentiable(const torch::nn::Module* module);
bool gradients(const torch::nn::Module* module);
// The rows it wants, empty for all.
std::vector<int64_t> queries();
TokenGrid current_grid();

// True when it wants gradients or differentiable maps of a layer in `block`, or an output inside it: the graph of the
// block must then be kept.
bool wants_graph(const torch::nn::Module& block);

// Nothing is recorded in this thread while one lives.
class Pause {
 public:
  Pause();
  ~Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  AttentionRecorder::State* outer_;
};

// Windows of a layer, opened by window_attention around its backend.
struct WindowScope {
  explicit WindowScope(const WindowLayout& layout);
  ~WindowScope();
  WindowScope(const WindowScope&) = delete;
  WindowScope& operator=(const WindowScope&) = delete;
};

// Adds a map and returns its index. Fills path, grid, window and shift from the scopes.
size_t add(const torch::nn::Module* module, MapKind kind, const at::Tensor& weights,
           const std::vector<int64_t>& queries = {});
// Keeps what `module` gave where a recorder asked for it.
void output(const torch::nn::Module* module, const at::Tensor& value, int64_t channel_dim);
// Calls back with the gradient of `output` and stores what `to_map_gradient` makes of it in map `index`.
void add_gradient(size_t index, const at::Tensor& output,
                  const std::function<at::Tensor(const at::Tensor&)>& to_map_gradient);

}  // namespace recording
}  // namespace fovea
