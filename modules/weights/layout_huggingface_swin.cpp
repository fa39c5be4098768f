// transformers' Swin, in both generations of names, and SwinV2, which has one.
#include "fovea/modules/weights/layout_parts.h"

namespace fovea {
namespace {

constexpr IndexShift kNextStage = {.add = 1};  // merging closes a stage there, and opens the next here

}  // namespace

const Layout kLayoutHuggingFaceSwin = {
    .name = "huggingface-swin",
    .markers = {"~encoder.layers.0.blocks.0.attention.self.query.weight",
                "~encoder.layers.0.blocks.0.attention.q_proj.weight"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"~embeddings.mask_token", ""},
            {"~embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
            {"~embeddings.norm.*", "patch_embed.norm.*"},
            {"~encoder.layers.#.blocks.#.layernorm_before.*", "layers.#.blocks.#.norm1.*"},
            {"~encoder.layers.#.blocks.#.attention.self.query.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kQuery},
            {"~encoder.layers.#.blocks.#.attention.self.key.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kKey},
            {"~encoder.layers.#.blocks.#.attention.self.value.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kValue},
            {"~encoder.layers.#.blocks.#.attention.self.relative_position_bias_table",
             "layers.#.blocks.#.attn.relative_position_bias_table"},
            {"~encoder.layers.#.blocks.#.attention.output.dense.*", "layers.#.blocks.#.attn.proj.*"},
            {"~encoder.layers.#.blocks.#.layernorm_after.*", "layers.#.blocks.#.norm2.*"},
            {"~encoder.layers.#.blocks.#.intermediate.dense.*", "layers.#.blocks.#.mlp.fc1.*"},
            {"~encoder.layers.#.blocks.#.output.dense.*", "layers.#.blocks.#.mlp.fc2.*"},
            {"~encoder.layers.#.downsample.*", "layers.#.downsample.*", nullptr, kNextStage},
            {"~layernorm.*", "norm.*"},
            {"classifier.*", "head.fc.*"},
            {"~encoder.layers.#.blocks.#.attention.q_proj.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kQuery},
            {"~encoder.layers.#.blocks.#.attention.k_proj.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kKey},
            {"~encoder.layers.#.blocks.#.attention.v_proj.*", "layers.#.blocks.#.attn.qkv.*", nullptr, {}, kValue},
            {"~encoder.layers.#.blocks.#.attention.o_proj.*", "layers.#.blocks.#.attn.proj.*"},
            {"~encoder.layers.#.blocks.#.attention.relative_position_bias.relative_position_bias_table",
             "layers.#.blocks.#.attn.relative_position_bias_table"},
            {"~encoder.layers.#.blocks.#.mlp.fc1.*", "layers.#.blocks.#.mlp.fc1.*"},
            {"~encoder.layers.#.blocks.#.mlp.fc2.*", "layers.#.blocks.#.mlp.fc2.*"},
        },
    .base = "swin.",
};

const Layout kLayoutHuggingFaceSwinV2 = {
    .name = "huggingface-swinv2",
    .markers = {"~encoder.layers.0.blocks.0.attention.self.logit_scale"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"*relative_coords_table", ""},
            {"~embeddings.mask_token", ""},
            {"~embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
            {"~embeddings.norm.*", "patch_embed.norm.*"},
            {"~encoder.layers.#.blocks.#.layernorm_before.*", "layers.#.blocks.#.norm1.*"},
            {"~encoder.layers.#.blocks.#.attention.self.query.weight",
             "layers.#.blocks.#.attn.qkv.weight",
             nullptr,
             {},
             kQuery},
            {"~encoder.layers.#.blocks.#.attention.self.key.weight",
             "layers.#.blocks.#.attn.qkv.weight",
             nullptr,
             {},
             kKey},
            {"~encoder.layers.#.blocks.#.attention.self.value.weight",
             "layers.#.blocks.#.attn.qkv.weight",
             nullptr,
             {},
             kValue},
            {"~encoder.layers.#.blocks.#.attention.self.query.bias", "layers.#.blocks.#.attn.q_bias"},
            {"~encoder.layers.#.blocks.#.attention.self.value.bias", "layers.#.blocks.#.attn.v_bias"},
            {"~encoder.layers.#.blocks.#.attention.self.logit_scale", "layers.#.blocks.#.attn.logit_scale"},
            {"~encoder.layers.#.blocks.#.attention.self.continuous_position_bias_mlp.*",
             "layers.#.blocks.#.attn.cpb_mlp.*"},
            {"~encoder.layers.#.blocks.#.attention.output.dense.*", "layers.#.blocks.#.attn.proj.*"},
            {"~encoder.layers.#.blocks.#.layernorm_after.*", "layers.#.blocks.#.norm2.*"},
            {"~encoder.layers.#.blocks.#.intermediate.dense.*", "layers.#.blocks.#.mlp.fc1.*"},
            {"~encoder.layers.#.blocks.#.output.dense.*", "layers.#.blocks.#.mlp.fc2.*"},
            {"~encoder.layers.#.downsample.*", "layers.#.downsample.*", nullptr, kNextStage},
            {"~layernorm.*", "norm.*"},
            {"classifier.*", "head.fc.*"},
        },
    .base = "swinv2.",
};

}  // namespace fovea
