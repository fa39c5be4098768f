// torchvision's ViT and Swin. Its ResNets have timm's keys.
#include "fovea/modules/weights/layout.h"

namespace fovea {

const Layout kLayoutTorchvisionVit = {
    .name = "torchvision-vit",
    .marker = R"(encoder\.layers\.encoder_layer_0\..*)",
    .rows =
        {
            {R"(class_token)", "cls_token"},
            {R"(conv_proj\.(.*))", R"(patch_embed.proj.\1)"},
            {R"(encoder\.pos_embedding)", "pos_embed"},
            {R"(encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.(.*))", R"(blocks.\1.norm\2.\3)"},
            {R"(encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(.*))", R"(blocks.\1.attn.qkv.\2)"},
            {R"(encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(.*))", R"(blocks.\1.attn.proj.\2)"},
            {R"(encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(.*))", R"(blocks.\1.mlp.fc1.\2)"},
            {R"(encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(.*))", R"(blocks.\1.mlp.fc2.\2)"},
            {R"(encoder\.ln\.(.*))", R"(norm.\1)"},
            {R"(heads\.head\.(.*))", R"(head.\1)"},
        },
};

// features.0 is the stem, 1, 3, 5, 7 are the stages and 2, 4, 6 the merging between them.
const Layout kLayoutTorchvisionSwin = {
    .name = "torchvision-swin",
    .marker = R"(features\.1\.0\.attn\..*)",
    .rows =
        {
            {R"(.*(relative_position_index|relative_coords_table))", ""},
            {R"(features\.0\.0\.(.*))", R"(patch_embed.proj.\1)"},
            {R"(features\.0\.2\.(.*))", R"(patch_embed.norm.\1)"},
            {R"(features\.([1357])\.(\d+)\.mlp\.0\.(.*))",
             R"(layers.\1.blocks.\2.mlp.fc1.\3)",
             nullptr,
             {.add = -1, .divide = 2}},
            {R"(features\.([1357])\.(\d+)\.mlp\.3\.(.*))",
             R"(layers.\1.blocks.\2.mlp.fc2.\3)",
             nullptr,
             {.add = -1, .divide = 2}},
            {R"(features\.([1357])\.(\d+)\.(.*))", R"(layers.\1.blocks.\2.\3)", nullptr, {.add = -1, .divide = 2}},
            {R"(features\.([246])\.(.*))", R"(layers.\1.downsample.\2)", nullptr, {.divide = 2}},
            {R"(head\.(.*))", R"(head.fc.\1)"},
        },
};

}  // namespace fovea
