// DINOv2, without and with registers, as transformers names it (both generations) and as Meta does.
// Oquab et al., DINOv2, 2023, https://arxiv.org/abs/2304.07193
#include <ATen/ATen.h>

#include "fovea/modules/weights/layout_parts.h"

namespace fovea {
namespace {

constexpr TensorPart kGate = {.index = 0, .count = 2};
constexpr TensorPart kGated = {.index = 1, .count = 2};

const std::vector<LayoutRow> kRows = {
    {"~embeddings.cls_token", "cls_token"},
    {"~embeddings.register_tokens", "reg_token"},
    {"~embeddings.mask_token", ""},
    {"~embeddings.position_embeddings", "pos_embed"},
    {"~embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
    {"~encoder.layer.#.norm1.*", "blocks.#.norm1.*"},
    {"~encoder.layer.#.attention.attention.query.*", "blocks.#.attn.qkv.*", nullptr, {}, kQuery},
    {"~encoder.layer.#.attention.attention.key.*", "blocks.#.attn.qkv.*", nullptr, {}, kKey},
    {"~encoder.layer.#.attention.attention.value.*", "blocks.#.attn.qkv.*", nullptr, {}, kValue},
    {"~encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"},
    {"~encoder.layer.#.layer_scale1.lambda1", "blocks.#.ls1.gamma"},
    {"~encoder.layer.#.norm2.*", "blocks.#.norm2.*"},
    {"~encoder.layer.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
    {"~encoder.layer.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
    {"~encoder.layer.#.layer_scale2.lambda1", "blocks.#.ls2.gamma"},
    {"~layernorm.*", "norm.*"},
    {"classifier.*", "head.*"},
    // The gated MLP of the largest, and what transformers 5 has in memory.
    {"~encoder.layer.#.mlp.weights_in.*", "blocks.#.mlp.gated.fc1.*"},
    {"~encoder.layer.#.mlp.weights_out.*", "blocks.#.mlp.gated.fc2.*"},
    {"~encoder.layer.#.mlp.gate_proj.*", "blocks.#.mlp.gated.fc1.*", nullptr, {}, kGate},
    {"~encoder.layer.#.mlp.up_proj.*", "blocks.#.mlp.gated.fc1.*", nullptr, {}, kGated},
    {"~encoder.layer.#.mlp.down_proj.*", "blocks.#.mlp.gated.fc2.*"},
    {"~encoder.layer.#.attention.q_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kQuery},
    {"~encoder.layer.#.attention.k_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kKey},
    {"~encoder.layer.#.attention.v_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kValue},
    {"~encoder.layer.#.attention.o_proj.*", "blocks.#.attn.proj.*"},
};

// What hides patches while DINOv2 is trained, a tensor that transformers expects in every file.
std::vector<NamedTensor> mask_token(const StateDict& theirs) {
  constexpr std::string_view kToken = "embeddings.cls_token";
  for (const NamedTensor& named : theirs) {
    if (!named.name.ends_with(kToken) || named.tensor.dim() != 3) continue;
    const std::string base = named.name.substr(0, named.name.size() - kToken.size());
    return {{base + "embeddings.mask_token", at::zeros_like(named.tensor.select(1, 0))}};
  }
  return {};
}

}  // namespace

const Layout kLayoutHuggingFaceDinov2 = {
    .name = "huggingface-dinov2",
    .markers = {"~encoder.layer.0.layer_scale1.lambda1"},
    .rows = kRows,
    .base = "dinov2.",
    .resampling = TableResampling::plain,
    .extras = mask_token,
    .network = &change::kDinov2,
};

const Layout kLayoutHuggingFaceDinov2Registers = {
    .name = "huggingface-dinov2-registers",
    .markers = {"~embeddings.register_tokens"},
    .rows = kRows,
    .base = "dinov2_with_registers.",
    .extras = mask_token,
    .network = &change::kDinov2,
};

// Its block chunks are one, as in the published files.
const Layout kLayoutDinov2 = {
    .name = "dinov2",
    .markers = {"mask_token"},
    .rows =
        {
            {"mask_token", ""},
            {"register_tokens", "reg_token"},
            {"blocks.#.mlp.w12.*", "blocks.#.mlp.gated.fc1.*"},
            {"blocks.#.mlp.w3.*", "blocks.#.mlp.gated.fc2.*"},
        },
    .network = &change::kDinov2,
};

}  // namespace fovea
