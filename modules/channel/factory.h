// Attention of feature maps by name, for the slot of a convolutional block.
//
//     torch::nn::AnyModule se = make_channel_attention("cbam", {.channels = 256});
//     register_module("se", se.ptr());
//     y = se.forward(y);                                                   // [B,C,h,w] → same
#pragma once

#include <torch/nn/modules/container/any.h>

#include <string>
#include <vector>

namespace fovea {

struct ChannelAttentionOptions {
  int64_t channels = 0;
  int64_t reduction = 0;  // channels of x for each squeezed one; 0: the mechanism's own choice
  int64_t height = 0;     // pixels of the map where they are known: bottleneck makes its position tables for them,
  int64_t width = 0;      // else for 16×16
};

// Throws Error(usage) for an unknown name, listing the known ones.
torch::nn::AnyModule make_channel_attention(const std::string& name, const ChannelAttentionOptions& options);

// Every name, in the order of the table: "se", "cbam", …
std::vector<std::string> channel_attention_names();

}  // namespace fovea
