// Swin Transformer and Swin Transformer V2.
#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "fovea/modules/module.h"
#include "fovea/modules/patch/patch_embed.h"
#include "fovea/modules/window/patch_merging.h"
#include "fovea/modules/window/swin_block.h"
#include "fovea/vision/models/model.h"

namespace fovea {

// What happens to images and grids that do not divide. Where all sides divide, both give the same numbers.
enum class SwinPadding {
  timm,         // remainder of the patches filled with zeros; grids rolled, then padded; windows and shifts fixed by
                // image_size: a grid of one window is not shifted, a smaller one shrinks its window
  torchvision,  // remainder of the patches cut off; grids padded, then rolled; windows as given, a side of one window
                // not shifted in the call
};

struct SwinOptions {
  int64_t image_size = 0;            // side that windows and tables are made for, pixels; inputs may have any other
  int64_t patch = 4;                 // side of a patch, pixels
  int64_t window = 7;                // side of a window, tokens
  int64_t dim = 0;                   // width of a token in the first stage, doubled by each later one
  std::vector<int64_t> depths = {};  // blocks of each stage
  std::vector<int64_t> heads = {};   // heads of each stage
  double mlp_ratio = 4;              // hidden width of the MLPs / dim
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
  bool qkv_bias = true;
  SwinPadding padding = SwinPadding::timm;
  double attn_drop = 0;  // dropout of the attention probabilities
  double proj_drop = 0;  // after the products of attention and MLP
  double head_drop = 0;  // of the pooled features
  double drop_path = 0;  // probability that a sample skips a branch of the last block, rising linearly from 0
  bool v2 = false;       // SwinV2: attention by cosines, norms behind the branches and behind the merging
  std::vector<int64_t> pretrained_windows = {};  // SwinV2: sides of the windows that the weights of each stage were
                                                 // trained with; 0 or empty: the own ones
};

struct SwinStageOptions {
  int64_t dim = 0;     // width of a token
  bool merge = false;  // starts with patch merging, from dim/2
  std::vector<SwinBlockOptions> blocks = {};
  bool v2 = false;  // its merging too
};

// Patch merging, then blocks. Keys `downsample.*` with merge, `blocks.N.*`.
class SwinStageImpl : public Module<SwinStageImpl> {
 public:
  explicit SwinStageImpl(const SwinStageOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,h,w,C] → same, or [B,⌈h/2⌉,⌈w/2⌉,2C]

  SwinStageOptions options;
  PatchMerging downsample{nullptr};  // null without merge
  torch::nn::ModuleList blocks;      // of SwinBlock
};
FOVEA_MODULE(SwinStage);

struct SwinHeadOptions {
  int64_t features = 0;
  int64_t num_classes = 0;  // 0: no classifier
  double dropout = 0;       // of the features
};

// Key `fc.*`.
class SwinHeadImpl : public Module<SwinHeadImpl> {
 public:
  explicit SwinHeadImpl(const SwinHeadOptions& options);
  void reset() override;
  at::Tensor forward(const at::Tensor& pooled);  // [B,D] → [B,classes], or the same without classifier

  SwinHeadOptions options;
  Linear fc{nullptr};  // null without classes
};
FOVEA_MODULE(SwinHead);

// Patches → stages of blocks with attention in windows, every second block in shifted windows, patch merging between →
// LayerNorm → mean over the grid → a linear classifier. Keys follow timm: `patch_embed.{proj,norm}`,
// `layers.S.{downsample,blocks.N}`, `norm`, `head.fc`.
//
// Any input size: windows stay those of image_size (timm's strict_img_size=False), see SwinPadding for the remainders.
// Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, 2021,
// https://arxiv.org/abs/2103.14030
// Liu et al., Swin Transformer V2: Scaling Up Capacity and Resolution, 2022, https://arxiv.org/abs/2111.09883
class SwinImpl : public Module<SwinImpl>, public ImageModel {
 public:
  explicit SwinImpl(const SwinOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,C,h,w] → [B,D,h',w'] of the last stage
  at::Tensor pool(const at::Tensor& features) override;       // → [B,D], the mean over the grid
  at::Tensor classify(const at::Tensor& pooled) override;
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  SwinOptions options;
  PatchEmbed patch_embed{nullptr};
  torch::nn::ModuleList layers;  // of SwinStage
  LayerNorm norm{nullptr};
  SwinHead head{nullptr};

 private:
  TokenGrid first_grid(int64_t height, int64_t width) const;
  SwinStageOptions stage_options(size_t stage, int64_t side) const;
};
FOVEA_MODULE(Swin);

}  // namespace fovea
