// Inception-v3, plain and with squeeze-and-excitation behind each block.
#pragma once

#include <string>
#include <vector>

#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/module.h"
#include "fovea/vision/models/conv_step.h"
#include "fovea/vision/models/model.h"

namespace fovea {

// What a convolution of a block reads.
enum class InceptionInput {
  block,        // what the block reads
  mean,         // its 3×3 means
  last,         // the convolution in the row above
  before_last,  // the one above that
};

// A row: convolution, norm and ReLU.
struct InceptionConv {
  const char* key;
  InceptionInput input;
  int64_t channels;               // that come out
  int64_t height = 1, width = 1;  // of the kernel, pixels
  int64_t stride = 1;
  bool padded = true;   // the size stays at stride 1
  bool output = false;  // belongs to what the block gives
};

struct InceptionBlockOptions {
  int64_t in_channels = 0;
  std::vector<InceptionConv> convs = {};
  bool max_pool = false;  // the largest of 3×3 pixels at stride 2 belong to the output too, as its last channels
  bool squeeze_excite = false;

  int64_t out_channels() const;
};

// The outputs of its convolutions side by side, then the gate. Keys `<key>.conv`, `<key>.bn`, `se.fc1`, `se.fc2`.
class InceptionBlockImpl : public Module<InceptionBlockImpl> {
 public:
  explicit InceptionBlockImpl(const InceptionBlockOptions& options) : options(options) { reset(); }
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // [B,C,h,w] → [B,out_channels,h',w']

  InceptionBlockOptions options;
  std::vector<std::shared_ptr<ConvNormImpl>> convs;
  SqueezeExcite se = nullptr;  // null without
};

struct InceptionOptions {
  bool squeeze_excite = false;  // behind each of the eleven blocks
  int64_t in_channels = 3;
  int64_t num_classes = 1000;  // 0: no classifier
};

// Keys are torchvision's and timm's: `Conv2d_1a_3x3.conv`, `Mixed_5b.branch1x1.conv`, …, `fc`; with the gates
// `Mixed_5b.se.fc1`, …. The second classifier of the training (`AuxLogits`) is left out. torchvision's
// `transform_input` is a mean and a deviation of 0.5 in preprocessing.
// Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015, https://arxiv.org/abs/1512.00567
// Hu et al., Squeeze-and-Excitation Networks, 2018, https://arxiv.org/abs/1709.01507
class InceptionImpl : public Module<InceptionImpl>, public ImageModel {
 public:
  explicit InceptionImpl(const InceptionOptions& options);
  void reset() override;

  at::Tensor forward_features(const at::Tensor& x) override;  // [B,in,h,w] → [B,2048,h',w'], from 75×75 pixels
  at::Tensor pool(const at::Tensor& features) override { return features.mean({2, 3}); }  // → [B,2048]
  at::Tensor classify(const at::Tensor& pooled) override;
  TokenGrid grid(int64_t height, int64_t width) const override;
  torch::nn::Module& module() override { return *this; }

  InceptionOptions options;
  std::vector<std::shared_ptr<ConvNormImpl>> stem;
  std::vector<std::shared_ptr<InceptionBlockImpl>> blocks;
  Linear fc = nullptr;  // null without classes
};
FOVEA_MODULE(Inception);

}  // namespace fovea
