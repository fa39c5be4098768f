// torchvision's ViT and Swin. Its ResNets have timm's keys.
#include <ATen/ATen.h>

#include <cmath>

#include "fovea/modules/weights/layout.h"

namespace fovea {

namespace {

// A window's index table is a buffer there: int64 [W⁴], the row of the bias table for each pair of its W² tokens.
at::Tensor relative_index(int64_t window) {
  const at::Tensor side = at::arange(window, at::kLong);
  const at::Tensor row = side.view({-1, 1}).expand({window, window}).flatten();
  const at::Tensor column = side.view({1, -1}).expand({window, window}).flatten();
  const auto apart = [&](const at::Tensor& place) { return place.unsqueeze(1) - place.unsqueeze(0) + (window - 1); };
  return (apart(row) * (2 * window - 1) + apart(column)).flatten();
}

std::vector<NamedTensor> index_tables(const StateDict& theirs) {
  constexpr std::string_view kTable = "relative_position_bias_table";
  std::vector<NamedTensor> indices;
  for (const NamedTensor& named : theirs) {
    if (!named.name.ends_with(kTable) || named.tensor.dim() != 2) continue;
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(named.tensor.size(0)))));  // 2W−1
    const std::string module = named.name.substr(0, named.name.size() - kTable.size());
    indices.push_back({module + "relative_position_index", relative_index((side + 1) / 2)});
  }
  return indices;
}

}  // namespace

// Up to 0.11 the layers of the MLP had names.
const Layout kLayoutTorchvisionVit = {
    .name = "torchvision-vit",
    .markers = {"encoder.layers.encoder_layer_0.*"},
    .rows =
        {
            {"class_token", "cls_token"},
            {"conv_proj.*", "patch_embed.proj.*"},
            {"encoder.pos_embedding", "pos_embed"},
            {"encoder.layers.encoder_layer_#.ln_1.*", "blocks.#.norm1.*"},
            {"encoder.layers.encoder_layer_#.ln_2.*", "blocks.#.norm2.*"},
            {"encoder.layers.encoder_layer_#.self_attention.in_proj_*", "blocks.#.attn.qkv.*"},
            {"encoder.layers.encoder_layer_#.self_attention.out_proj.*", "blocks.#.attn.proj.*"},
            {"encoder.layers.encoder_layer_#.mlp.0.*", "blocks.#.mlp.fc1.*"},
            {"encoder.layers.encoder_layer_#.mlp.3.*", "blocks.#.mlp.fc2.*"},
            {"encoder.layers.encoder_layer_#.mlp.linear_1.*", "blocks.#.mlp.fc1.*"},
            {"encoder.layers.encoder_layer_#.mlp.linear_2.*", "blocks.#.mlp.fc2.*"},
            {"encoder.ln.*", "norm.*"},
            {"heads.head.*", "head.*"},
        },
    .resampling = TableResampling::corners,
};

constexpr IndexShift kStage = {.add = -1, .divide = 2};   // features.1, 3, 5, 7
constexpr IndexShift kMerging = {.add = 0, .divide = 2};  // features.2, 4, 6

const Layout kLayoutTorchvisionSwin = {
    .name = "torchvision-swin",
    .markers = {"features.1.0.attn.*"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"*relative_coords_table", ""},
            {"features.0.0.*", "patch_embed.proj.*"},
            {"features.0.2.*", "patch_embed.norm.*"},
            {"features.#.#.mlp.0.*", "layers.#.blocks.#.mlp.fc1.*", nullptr, kStage},
            {"features.#.#.mlp.3.*", "layers.#.blocks.#.mlp.fc2.*", nullptr, kStage},
            {"features.#.#.*", "layers.#.blocks.#.*", nullptr, kStage},
            {"features.#.reduction.*", "layers.#.downsample.reduction.*", nullptr, kMerging},
            {"features.#.norm.*", "layers.#.downsample.norm.*", nullptr, kMerging},
            {"head.weight", "head.fc.weight"},
            {"head.bias", "head.fc.bias"},
        },
    .extras = index_tables,
    .network = &change::kDropKeyBias,
};

}  // namespace fovea
