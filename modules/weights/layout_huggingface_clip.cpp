// The image towers of transformers' CLIP and SigLIP, alone (`embeddings.…` in memory, `vision_model.embeddings.…` in
// published files) or beside their texts.
#include "fovea/modules/weights/layout_parts.h"

namespace fovea {
namespace {

std::vector<LayoutRow> tower_rows(std::vector<LayoutRow> own) {
  std::vector<LayoutRow> rows = {
      {"~embeddings.patch_embedding.*", "patch_embed.proj.*"},
      {"~embeddings.position_embedding.weight", "pos_embed", &change::kRowsToTokens},
      {"~embeddings.position_ids", ""},
      {"~encoder.layers.#.layer_norm1.*", "blocks.#.norm1.*"},
      {"~encoder.layers.#.self_attn.q_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kQuery},
      {"~encoder.layers.#.self_attn.k_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kKey},
      {"~encoder.layers.#.self_attn.v_proj.*", "blocks.#.attn.qkv.*", nullptr, {}, kValue},
      {"~encoder.layers.#.self_attn.out_proj.*", "blocks.#.attn.proj.*"},
      {"~encoder.layers.#.layer_norm2.*", "blocks.#.norm2.*"},
      {"~encoder.layers.#.mlp.*", "blocks.#.mlp.*"},
      {"~post_layernorm.*", "norm.*"},
      {"text_model.*", ""},
      {"text_projection.*", ""},
      {"logit_scale", ""},
      {"logit_bias", ""},
  };
  rows.insert(rows.begin(), own.begin(), own.end());
  return rows;
}

}  // namespace

// The projection into the space that images and texts share is the head.
const Layout kLayoutHuggingFaceClip = {
    .name = "huggingface-clip",
    .markers = {"~pre_layrnorm.weight"},
    .rows = tower_rows({{"~embeddings.class_embedding", "cls_token", &change::kVectorToToken},
                        {"~pre_layrnorm.*", "norm_pre.*"},
                        {"visual_projection.weight", "head.weight"}}),
    .base = "vision_model.",
    .resampling = TableResampling::plain,
    .network = &change::kClipClassifier,
};

const Layout kLayoutHuggingFaceSiglip = {
    .name = "huggingface-siglip",
    .markers = {"~head.probe"},
    .rows = tower_rows({{"~head.probe", "attn_pool.latent"},
                        {"~head.attention.in_proj_*", "attn_pool.in_proj.*"},
                        {"~head.attention.out_proj.*", "attn_pool.proj.*"},
                        {"~head.layernorm.*", "attn_pool.norm.*"},
                        {"~head.mlp.*", "attn_pool.mlp.*"}}),
    .base = "vision_model.",
    .resampling = TableResampling::plain,
    .network = &change::kSiglipPool,
};

}  // namespace fovea
