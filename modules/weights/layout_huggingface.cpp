// transformers' ViT and DeiT: the names of published files, and those that transformers 5 has in memory and
// writes with save_original_format=False.
#include "fovea/modules/weights/layout_parts.h"

namespace fovea {
namespace {

// Of a ViT, around its heads.
std::vector<LayoutRow> vit_rows(std::vector<LayoutRow> heads) {
  std::vector<LayoutRow> rows = {
      {"~embeddings.cls_token", "cls_token"},
      {"~embeddings.distillation_token", "dist_token"},
      {"~embeddings.mask_token", ""},
      {"~embeddings.position_embeddings", "pos_embed"},
      {"~embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
      {"~encoder.layer.#.layernorm_before.*", "blocks.#.norm1.*"},
      {"~encoder.layer.#.attention.attention.query.*", "blocks.#.attn.qkv.*", nullptr, {}, kQuery},
      {"~encoder.layer.#.attention.attention.key.*", "blocks.#.attn.qkv.*", nullptr, {}, kKey},
      {"~encoder.layer.#.attention.attention.value.*", "blocks.#.attn.qkv.*", nullptr, {}, kValue},
      {"~encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"},
      {"~encoder.layer.#.layernorm_after.*", "blocks.#.norm2.*"},
      {"~encoder.layer.#.intermediate.dense.*", "blocks.#.mlp.fc1.*"},
      {"~encoder.layer.#.output.dense.*", "blocks.#.mlp.fc2.*"},
      {"~layernorm.*", "norm.*"},
      {"~pooler.dense.*", ""},
      {"~layers.#.layernorm_before.*", "blocks.#.norm1.*"},
      {"~layers.#.attention.q_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kQuery},
      {"~layers.#.attention.k_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kKey},
      {"~layers.#.attention.v_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kValue},
      {"~layers.#.attention.o_proj.*", "blocks.#.attn.proj.*"},
      {"~layers.#.layernorm_after.*", "blocks.#.norm2.*"},
      {"~layers.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
      {"~layers.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
  };
  rows.insert(rows.begin(), heads.begin(), heads.end());
  return rows;
}

}  // namespace

const Layout kLayoutHuggingFaceVit = {
    .name = "huggingface-vit",
    .markers = {"~encoder.layer.0.attention.attention.query.weight", "~layers.0.attention.q_proj.weight"},
    .rows = vit_rows({{"classifier.*", "head.*"}}),
    .base = "vit.",
    .resampling = TableResampling::plain,
    .norm_eps = 1e-12,
};

const Layout kLayoutHuggingFaceDeit = {
    .name = "huggingface-deit",
    .markers = {"~embeddings.distillation_token"},
    .rows = vit_rows({{"cls_classifier.*", "head.*"}, {"distillation_classifier.*", "head_dist.*"}}),
    .base = "deit.",
    .resampling = TableResampling::plain,
    .norm_eps = 1e-12,
};

}  // namespace fovea
